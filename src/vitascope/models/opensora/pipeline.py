"""Open-Sora 1.2 as a diffusers pipeline: text, pictures or clips in, video out.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), scripts/inference.py and
configs/opensora-v1-2/inference/sample.py (all defaults), Apache-2.0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from vitascope.errors import UnsupportedTask
from vitascope.models.opensora.autoencoder import AutoencoderKLOpenSora
from vitascope.models.opensora.conditioning import (
    continuation,
    parse_mask_strategy,
    place_references,
)
from vitascope.models.opensora.prompt import clean_caption, prompt_of_loop, word_prompt
from vitascope.models.opensora.sampler import denoise
from vitascope.models.opensora.scheduler import OpenSoraScheduler
from vitascope.models.opensora.stdit3 import STDiT3

logger = logging.getLogger(__name__)

# Pixel frames that the VAE codes together.
CHUNK = 17
# What the model was told in training instead of a rate when it saw a still picture.
STILL_IMAGE_FPS = 120

StepCallback = Callable[["OpenSoraPipeline", int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]


@dataclass
class OpenSoraPipelineOutput(BaseOutput):
    """`frames` as `output_type` says; with "latent" those of the last loop, as the VAE takes them."""

    frames: Any


@dataclass(frozen=True)
class _Captions:
    """What the denoiser reads, for all prompts and then, with guidance, for the other half of it.

    Shape: embeds `B L D`, mask `B L` or None if every token counts, dropped `B` (True = learnt "no caption").
    """

    embeds: Tensor
    mask: Tensor | None
    dropped: Tensor


@dataclass(frozen=True)
class _Shot:
    """What stays the same from loop to loop."""

    height: int
    width: int
    num_frames: int
    fps: tuple[float, ...]
    guidance_scale: float

    @property
    def guided(self) -> bool:
        return self.guidance_scale > 1


class OpenSoraPipeline(DiffusionPipeline):
    """Makes videos with Open-Sora 1.2 from text, and from pictures or clips put at any place of the video.

    Source: github.com/hpcaitech/Open-Sora v1.2.0, scripts/inference.py.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"  # type: ignore[assignment]
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
        vae: AutoencoderKLOpenSora,
        transformer: STDiT3,
        scheduler: OpenSoraScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            transformer=transformer,
            scheduler=scheduler,
        )
        self.video_processor = VideoProcessor(vae_scale_factor=vae.spatial_compression)
        self._num_timesteps = 0

    @property
    def num_timesteps(self) -> int:
        """How many denoising steps the current call takes, over all its loops."""
        return self._num_timesteps

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        height: int = 240,
        width: int = 426,
        num_frames: int = 51,
        fps: float | list[float] = 24,
        num_inference_steps: int = 30,
        guidance_scale: float = 7.0,
        aesthetic_score: float | None = 6.5,
        motion_score: float | None = None,
        camera_motion: str | None = None,
        references: Sequence[Tensor] = (),
        mask_strategy: str = "",
        num_loops: int = 1,
        max_sequence_length: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> OpenSoraPipelineOutput | tuple[Any]:
        """Make one video for each prompt.

        Without a negative prompt (None or "") guidance works against what the model learnt as "no caption";
        with one (not upstream's doing) against that text. `references` are pictures and clips that
        `mask_strategy` places (see `parse_mask_strategy`; "0" = it starts with the first one's first frame).
        With `num_loops` above 1 each loop goes on from the last 17 frames of the one before; `latents` is the
        noise of the first. `callback_on_step_end(pipeline, step, timestep, {"latents": ...})` may return
        changed latents, or raise to stop.

        Shape: references `C T H W`, or `B C T H W` with one a prompt, at this height and width; the frames
            `B T H W C` (np) or `B T C H W` (pt).
        Range: references -1..1; frames 0..1; num_frames 1 or at least 17.
        Units: height and width in pixels, rounded down to multiples of 8.
        Raises: UnsupportedTask, RequestError, DependencyMissing.
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        rates = fps if isinstance(fps, list) else [fps] * len(prompts)
        rates = rates if num_frames > 1 else [STILL_IMAGE_FPS] * len(prompts)
        shot = _Shot(height, width, num_frames, tuple(rates), guidance_scale)
        _check(shot, num_loops)
        max_length = self._max_length(max_sequence_length)
        scores = (aesthetic_score, motion_score, camera_motion)
        worded = [
            [word_prompt(prompt_of_loop(text, loop), *scores) for text in prompts]
            for loop in range(num_loops)
        ]
        placements, device = parse_mask_strategy(mask_strategy), self._execution_device
        self._num_timesteps = num_inference_steps * num_loops
        self.scheduler.set_timesteps(
            num_inference_steps, device, height=height, width=width, num_frames=num_frames
        )
        encoded = [
            self._encode_pixels(reference if reference.ndim == 5 else reference[None], generator)
            for reference in references
        ]
        made, clips = torch.empty(0), []
        for loop, texts in enumerate(worded):
            if loop > 0:
                clips.append(self._decode(made, num_frames))
                encoded.append(self._encode_pixels(clips[-1], generator))
                placements.append(continuation(loop, len(encoded) - 1))
            captions = self._encode_captions(texts, negative_prompt, max_length, shot.guided)
            noise = self._noise(len(prompts), shot, generator) if loop > 0 or latents is None else latents
            start, edit_ratio = place_references(noise.to(device), encoded, placements, loop)
            on_step = self._on_step(callback_on_step_end, first_step=loop * num_inference_steps)
            made = self._denoise(start, edit_ratio, captions, shot, generator, on_step)
        frames: Any = made
        if output_type != "latent":
            clips.append(self._decode(made, num_frames))
            clips[1:] = [clip[:, :, CHUNK:] for clip in clips[1:]]
            frames = self.video_processor.postprocess_video(torch.cat(clips, dim=2).float(), output_type)
        self.maybe_free_model_hooks()
        return OpenSoraPipelineOutput(frames) if return_dict else (frames,)

    def _decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return self.vae.decode(latents.to(self.vae.dtype), num_frames)

    def _denoise(
        self,
        latents: Tensor,
        edit_ratio: Tensor,
        captions: _Captions,
        shot: _Shot,
        generator: torch.Generator | list[torch.Generator] | None,
        on_step: Callable[[int, Tensor, Tensor], Tensor],
    ) -> Tensor:
        copies, channels = 2 if shot.guided else 1, latents.shape[1]
        fps = torch.tensor(shot.fps, dtype=torch.float32, device=latents.device).repeat(copies)

        def predict_velocity(latents: Tensor, timestep: Tensor, active: Tensor | None) -> Tensor:
            predicted = self.transformer(
                latents.repeat(copies, 1, 1, 1, 1),
                timestep.expand(len(fps)),
                captions.embeds,
                fps=fps,
                height=shot.height,
                width=shot.width,
                encoder_attention_mask=captions.mask,
                drop_caption=captions.dropped,
                frame_mask=None if active is None else active.repeat(copies, 1),
                return_dict=False,
            )[0][:, :channels]
            if not shot.guided:
                return predicted
            with_caption, without = predicted.chunk(2)
            return without + shot.guidance_scale * (with_caption - without)

        def draw_noise(like: Tensor) -> Tensor:
            return randn_tensor(like.shape, generator=generator, device=like.device, dtype=like.dtype)

        all_new = bool((edit_ratio == 1).all())
        ratios = None if all_new else edit_ratio.expand(len(latents), -1)
        with self.progress_bar(total=len(self.scheduler.timesteps)) as bar:

            def after_step(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
                bar.update()
                return on_step(index, timestep, latents)

            return denoise(self.scheduler, predict_velocity, latents, ratios, draw_noise, after_step)

    def _on_step(
        self, callback: StepCallback | None, first_step: int
    ) -> Callable[[int, Tensor, Tensor], Tensor]:
        def on_step(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
            changed = callback(self, first_step + index, timestep, {"latents": latents}) if callback else None
            return (changed or {}).get("latents", latents)

        return on_step

    def _max_length(self, asked: int | None) -> int:
        limit = self.transformer.config.caption_length
        if asked is not None and not 1 <= asked <= limit:
            raise UnsupportedTask(
                f"max_sequence_length={asked}: Open-Sora reads 1 to {limit} tokens; nearest: "
                f"{min(max(asked, 1), limit)}",
                param="max_sequence_length",
            )
        return asked or limit

    def _noise(
        self, batch: int, shot: _Shot, generator: torch.Generator | list[torch.Generator] | None
    ) -> Tensor:
        shape = (
            batch,
            self.vae.config.latent_channels,
            self.vae.num_latent_frames(shot.num_frames),
            shot.height // self.vae.spatial_compression,
            shot.width // self.vae.spatial_compression,
        )
        return randn_tensor(shape, generator=generator, device=self._execution_device, dtype=torch.float32)

    def _encode_pixels(
        self, pixels: Tensor, generator: torch.Generator | list[torch.Generator] | None
    ) -> Tensor:
        generators = generator if isinstance(generator, list) else [generator] * len(pixels)
        pixels = pixels.to(self._execution_device, self.vae.dtype)
        # One by one, so that each video's noise comes from its own generator.
        encoded = [
            self.vae.encode(one[None], generator=own) for one, own in zip(pixels, generators, strict=False)
        ]
        return torch.cat(encoded).float()

    def _encode_captions(
        self, texts: list[str], negative_prompt: str | list[str] | None, max_length: int, guided: bool
    ) -> _Captions:
        embeds, mask = self.encode_prompt(texts, max_length)
        dropped = torch.zeros(len(texts), dtype=torch.bool, device=embeds.device)
        if guided:
            # Upstream reads as many tokens of "no caption" as the prompt has.
            other_embeds, other_mask, other_dropped = embeds.clone(), mask.clone(), ~dropped
            if isinstance(negative_prompt, str) or negative_prompt is None:
                negative_prompt = [negative_prompt or ""] * len(texts)
            named = [row for row, text in enumerate(negative_prompt) if text]
            if named:
                against = [clean_caption(negative_prompt[row]) for row in named]
                other_embeds[named], other_mask[named] = self.encode_prompt(against, max_length)
                other_dropped[named] = False
            embeds, mask = torch.cat([embeds, other_embeds]), torch.cat([mask, other_mask])
            dropped = torch.cat([dropped, other_dropped])
        # Without a mask every attention backend will do, and padding costs nothing.
        longest = int(mask.sum(dim=1).max())
        embeds, mask = embeds[:, :longest], mask[:, :longest]
        return _Captions(embeds, None if bool(mask.all()) else mask, dropped)

    def encode_prompt(self, texts: list[str], max_length: int) -> tuple[Tensor, Tensor]:
        """What the text encoder reads in prompts that are worded already. Shape: embeds B L D, mask B L."""
        tokens = self.tokenizer(
            texts, max_length=max_length, padding="max_length", truncation=True, return_tensors="pt"
        ).to(self._execution_device)
        for text in texts:
            if (length := len(self.tokenizer(text, verbose=False).input_ids)) > max_length:
                left_out = length - max_length
                logger.info("read %d tokens; left out the last %d of %r", max_length, left_out, text[:80])
        mask = tokens.attention_mask
        return self.text_encoder(tokens.input_ids, attention_mask=mask).last_hidden_state, mask


def _check(shot: _Shot, num_loops: int) -> None:
    if min(shot.height, shot.width) < 16:
        raise UnsupportedTask(f"Open-Sora makes videos from 16x16 pixels, not {shot.width}x{shot.height}")
    if 1 < shot.num_frames < CHUNK:
        raise UnsupportedTask(
            f"Open-Sora makes 1 frame or at least {CHUNK}, not {shot.num_frames}; nearest: {CHUNK}",
            param="num_frames",
        )
    if num_loops > 1 and (shot.num_frames % CHUNK or shot.num_frames < 2 * CHUNK):
        nearest = max(2, round(shot.num_frames / CHUNK)) * CHUNK
        raise UnsupportedTask(
            f"looping needs {2 * CHUNK} frames or a higher multiple of {CHUNK}, not {shot.num_frames}; "
            f"nearest: {nearest}",
            param="num_frames",
        )
