"""Open-Sora-Plan 1.2 and 1.3 as a diffusers pipeline: text, and given frames, to video.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan, MIT: opensora/sample/ at v1.2.0, 842435c0 and v1.3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from torch import Tensor
from transformers import MT5EncoderModel, PreTrainedTokenizerBase

from vitascope.errors import RunError, UnsupportedTask
from vitascope.models.opensora_plan.conditioning import condition_latents, mask_all_but
from vitascope.models.opensora_plan.prompts import clean_prompt
from vitascope.models.opensora_plan.releases import NEGATIVE_PROMPT, release_called
from vitascope.models.opensora_plan.sampling import Generators, denoise, guided
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel
from vitascope.models.wf_vae.causal_autoencoder import CausalVideoAutoencoder

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]


@dataclass
class OpenSoraPlanPipelineOutput(BaseOutput):
    """`frames` as `output_type` says."""

    frames: Any


@dataclass(frozen=True)
class Captions:
    """What the denoiser reads. Shape: embeds B L D, mask B L."""

    embeds: Tensor
    mask: Tensor


class OpenSoraPlanPipeline(DiffusionPipeline):
    """Makes videos with Open-Sora-Plan 1.2 or 1.3 from text, and from frames that are given anywhere in them.

    `release` ("1.2" or "1.3") decides how prompts are worded and given frames are shown to the denoiser.
    Source: see the module.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"  # type: ignore[assignment]
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: MT5EncoderModel,
        vae: CausalVideoAutoencoder,
        transformer: OpenSoraPlanTransformer3DModel,
        scheduler: Any,
        release: str = "1.3",
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            transformer=transformer,
            scheduler=scheduler,
        )
        self.register_to_config(release=release)
        self.release = release_called(release)
        self.video_processor = VideoProcessor(vae_scale_factor=vae.spatial_compression_ratio)
        self._num_timesteps = 0

    @property
    def num_timesteps(self) -> int:
        """How many denoising steps the current call takes."""
        return self._num_timesteps

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 7.5,
        guidance_rescale: float = 0.0,
        given_frames: Tensor | None = None,
        given_indices: Sequence[int] = (0,),
        max_sequence_length: int = 512,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> OpenSoraPlanPipelineOutput | tuple[Any]:
        """Make one video for each prompt; size and length are what the denoiser was trained on unless given.

        Without a negative prompt (None or "") the authors' own is used. `given_frames` stand at `given_indices` of
        each video, counted from its end where negative: (0,) animates a picture, (0, -1) joins two. `latents`
        is the noise to start from. `callback_on_step_end(pipeline, step, timestep, {"latents": ...})` may
        return changed latents, or raise to stop.

        Shape: given_frames 3 k H W, or B 3 k H W; the frames B T H W C (np) or B T C H W (pt).
        Range: given_frames -1..1; frames 0..1.
        Units: height and width in pixels, multiples of 16; num_frames 4k+1.
        Raises: UnsupportedTask, RequestError, DependencyMissing; RunError if the denoiser gives no numbers.
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        shape = self._clip_shape(num_frames, height, width)
        condition = self._condition(given_frames, given_indices, shape, len(prompts), generator)
        captions = self._captions(prompts, negative_prompt, max_sequence_length, guidance_scale > 1)
        self._set_timesteps(num_inference_steps)
        if latents is None:
            latents = self._noise(len(prompts), shape, generator)
        latents = latents.to(self._execution_device, torch.float32) * self.scheduler.init_noise_sigma
        predict = self._predictor(captions, condition, latents, guidance_scale, guidance_rescale)
        with self.progress_bar(total=self._num_timesteps) as bar:

            def after_step(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
                bar.update()
                if callback_on_step_end is None:
                    return latents
                changed = callback_on_step_end(self, index, timestep, {"latents": latents})
                return (changed or {}).get("latents", latents)

            latents = denoise(self.scheduler, predict, latents, generator, after_step)
        frames: Any = latents
        if output_type != "latent":
            clip = self.vae.decode(self.vae.unscale_latents(latents).to(self.vae.dtype)).sample
            frames = self.video_processor.postprocess_video(clip.float(), output_type)
        self.maybe_free_model_hooks()
        return OpenSoraPlanPipelineOutput(frames) if return_dict else (frames,)

    def _predictor(
        self,
        captions: Captions,
        condition: Tensor | None,
        latents: Tensor,
        guidance_scale: float,
        guidance_rescale: float,
    ) -> Callable[[Tensor, Tensor], Tensor]:
        copies = len(captions.embeds) // len(latents)
        grid = self.transformer.token_grid(latents)
        rotary = self.transformer.rotary_tables(grid, latents.device)

        def predict(scaled: Tensor, timestep: Tensor) -> Tensor:
            if condition is not None:
                scaled = torch.cat([scaled, condition], dim=1)
            predicted = self.transformer(
                scaled.repeat(copies, 1, 1, 1, 1).to(self.transformer.dtype),
                captions.embeds,
                timestep.expand(len(captions.embeds)),
                encoder_attention_mask=captions.mask,
                image_rotary_emb=rotary,
                return_dict=False,
            )[0].float()
            if not torch.isfinite(predicted).all():
                raise RunError(
                    f"the denoiser gave no numbers at timestep {timestep.item():g} in "
                    f"{self.transformer.dtype}; try bfloat16 or float32"
                )
            return guided(predicted, guidance_scale, guidance_rescale) if copies == 2 else predicted

        return predict

    def _captions(
        self,
        prompts: list[str],
        negative_prompt: str | list[str] | None,
        max_length: int,
        is_guided: bool,
    ) -> Captions:
        """Prompts as the release words them, with guidance after what to steer away from."""
        texts = [self.release.prompt_template.format(prompt) for prompt in prompts]
        if is_guided:
            if isinstance(negative_prompt, str | None):
                negative_prompt = [negative_prompt or NEGATIVE_PROMPT] * len(prompts)
            texts = [text or NEGATIVE_PROMPT for text in negative_prompt] + texts
        if self.release.cleans_prompts:
            texts = [clean_prompt(text) for text in texts]
        embeds, mask = self.encode_prompt(texts, max_length)
        # Padding has no weight in attention: what is longer than every prompt only costs time.
        longest = int(mask.sum(dim=1).max())
        return Captions(embeds[:, :longest].to(self.transformer.dtype), mask[:, :longest])

    def encode_prompt(self, texts: list[str], max_length: int) -> tuple[Tensor, Tensor]:
        """What the text encoder reads in prompts that are worded already. Shape: embeds B L D, mask B L."""
        tokens = self.tokenizer(
            texts, max_length=max_length, padding="max_length", truncation=True, return_tensors="pt"
        ).to(self._execution_device)
        mask = tokens.attention_mask
        return self.text_encoder(tokens.input_ids, attention_mask=mask).last_hidden_state, mask

    def _condition(
        self,
        given_frames: Tensor | None,
        given_indices: Sequence[int],
        shape: tuple[int, int, int],
        batch_size: int,
        generator: Generators,
    ) -> Tensor | None:
        """What follows the noisy latents on the channels of an inpainting denoiser; None for another one."""
        if not self.transformer.is_for_inpainting:
            if given_frames is not None:
                raise UnsupportedTask("these weights make videos from text alone; use the i2v weights")
            return None
        clip = torch.zeros(batch_size, 3, *shape, device=self._execution_device)
        indices = list(given_indices) if given_frames is not None else []
        if given_frames is not None:
            expected = (len(indices), *shape[1:])
            if given_frames.shape[-3:] != expected:
                raise UnsupportedTask(
                    f"given_frames of shape {tuple(given_frames.shape)}: {len(indices)} indices and this size "
                    f"need (..., 3, {', '.join(map(str, expected))})",
                    param="given_frames",
                )
        mask = mask_all_but(indices, *shape)
        if given_frames is not None:
            clip[:, :, indices] = given_frames.to(clip)
        return condition_latents(self.vae, clip, mask, self.release, generator)

    def _set_timesteps(self, num_inference_steps: int) -> None:
        try:
            self.scheduler.set_timesteps(num_inference_steps, device=self._execution_device)
        except ValueError as error:
            raise UnsupportedTask(
                f"num_inference_steps={num_inference_steps}: {type(self.scheduler).__name__} needs more steps, or "
                "another number of them",
                param="num_inference_steps",
            ) from error
        self._num_timesteps = len(self.scheduler.timesteps)

    def _noise(self, batch_size: int, shape: tuple[int, int, int], generator: Generators) -> Tensor:
        num_frames, height, width = shape
        side = self.vae.spatial_compression_ratio
        latent_frames = (num_frames - 1) // self.vae.temporal_compression_ratio + 1
        channels = self.transformer.noise_channels
        size = (batch_size, channels, latent_frames, height // side, width // side)
        return randn_tensor(size, generator=generator, device=self._execution_device, dtype=torch.float32)

    def _clip_shape(
        self, num_frames: int | None, height: int | None, width: int | None
    ) -> tuple[int, int, int]:
        """Frames, height and width, checked against the grid of the autoencoder and the denoiser's patches."""
        frames, rows, columns = self.transformer.trained_shape
        ratio, side = self.vae.temporal_compression_ratio, self.vae.spatial_compression_ratio
        num_frames = num_frames or (frames - 1) * ratio + 1
        nearest = max(0, round((num_frames - 1) / ratio)) * ratio + 1
        if num_frames != nearest:
            raise UnsupportedTask(
                f"num_frames={num_frames}: must be {ratio}k+1; nearest: {nearest}", param="num_frames"
            )
        sizes = {"height": height or rows * side, "width": width or columns * side}
        multiple = side * self.transformer.patch_size
        for name, size in sizes.items():
            nearest = max(1, round(size / multiple)) * multiple
            if size != nearest:
                raise UnsupportedTask(
                    f"{name}={size}: must be a multiple of {multiple}; nearest: {nearest}", param=name
                )
        return num_frames, sizes["height"], sizes["width"]
