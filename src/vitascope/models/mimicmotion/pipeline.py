"""MimicMotion as a diffusers pipeline: a picture and drawn poses in, video out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    StableVideoDiffusionPipeline,
    StableVideoDiffusionPipelineOutput,
)
from diffusers.schedulers import EulerDiscreteScheduler
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from vitascope.models.mimicmotion.fusion import (
    clamped_tile,
    denoise_in_tiles,
    guidance_scales,
    initial_latents,
    tiles_of,
)
from vitascope.models.mimicmotion.pose_net import PoseNet, pose_guided

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]


class MimicMotionPipeline(StableVideoDiffusionPipeline):
    """Moves the person of a picture after drawn poses; SVD's parts, and the pose network beside them.

    Source: Tencent/MimicMotion at 62f91e1, mimicmotion/pipelines/pipeline_mimicmotion.py.
    """

    model_cpu_offload_seq = "image_encoder->pose_net->unet->vae"

    def __init__(
        self,
        vae: AutoencoderKLTemporalDecoder,
        image_encoder: CLIPVisionModelWithProjection,
        unet: UNetSpatioTemporalConditionModel,
        scheduler: EulerDiscreteScheduler,
        feature_extractor: CLIPImageProcessor,
        pose_net: PoseNet,
    ) -> None:
        super().__init__(vae, image_encoder, unet, scheduler, feature_extractor)
        self.register_modules(pose_net=pose_net)
        self._num_timesteps = 0

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image,
        pose_pixels: Tensor,
        height: int = 1024,
        width: int = 576,
        num_inference_steps: int = 25,
        tile_size: int = 72,
        tile_overlap: int = 6,
        min_guidance_scale: float = 2.0,
        max_guidance_scale: float = 2.0,
        fps: int = 7,
        motion_bucket_id: int = 127,
        noise_aug_strength: float = 0.0,
        decode_chunk_size: int = 8,
        generator: Any = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> StableVideoDiffusionPipelineOutput | tuple[Any]:
        """Make a clip of as many frames as there are poses after the first, which is the picture's own.

        `latents`: the noise of one tile. Poses fewer than a tile make a smaller one.
        Guidance rises evenly from the picture's frame to the last; up to 1 there is none.

        Shape: pose_pixels N 3 H W; latents 1 S c h w; frames 1 N-1 H W C (np). Range: pose_pixels 0..255.
        """
        self.check_inputs(image, height, width)
        device, num_frames = self._execution_device, len(pose_pixels)
        size, overlap = clamped_tile(num_frames, tile_size, tile_overlap)
        guided = max(min_guidance_scale, max_guidance_scale) > 1
        embeds = self._encode_image(image, device, 1, False)
        image_latents = self._picture_latents(image, height, width, noise_aug_strength, generator)
        image_latents = image_latents.to(embeds.dtype)
        time_ids = (fps - 1, motion_bucket_id, noise_aug_strength)
        added_time_ids = self._get_add_time_ids(*time_ids, embeds.dtype, 1, 1, False).to(device)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        noise = self.prepare_latents(
            1, size, self.unet.config.in_channels, height, width, embeds.dtype, device, generator, latents
        )
        made = self.denoise(
            initial_latents(noise, num_frames),
            image_latents,
            embeds,
            self._pose_latents(pose_pixels, decode_chunk_size),
            added_time_ids,
            tiles_of(num_frames, size, overlap),
            guidance_scales(min_guidance_scale, max_guidance_scale, num_frames, noise) if guided else None,
            callback_on_step_end,
        )
        frames: Any = made[:, 1:]
        if output_type != "latent":
            # The picture's frame is decoded with the first chunk: the decoder mixes neighbours.
            decoded = self.decode_latents(made.to(self.vae.dtype), num_frames, decode_chunk_size)
            frames = self.video_processor.postprocess_video(decoded[:, :, 1:], output_type)
        self.maybe_free_model_hooks()
        return StableVideoDiffusionPipelineOutput(frames=frames) if return_dict else (frames,)

    def denoise(
        self,
        latents: Tensor,
        image_latents: Tensor,
        image_embeds: Tensor,
        pose_latents: Tensor,
        added_time_ids: Tensor,
        tiles: Sequence[Sequence[int]],
        guidance: Tensor | None,
        callback_on_step_end: StepCallback | None = None,
    ) -> Tensor:
        """The loop alone, from noise at the scheduler's scale; its timesteps are set.

        Without conditions the UNet sees no picture, no embedding of it and no poses.
        Shape: as `denoise_in_tiles`; image_embeds 1 1 D; pose_latents N C h w; added_time_ids 1 3.
        """
        self._num_timesteps = len(self.scheduler.timesteps)

        def after_step(step: int, timestep: Tensor, latents: Tensor, prediction: Tensor) -> Tensor | None:
            if callback_on_step_end is None:
                return None
            said = {"latents": latents, "noise_pred": prediction}
            return (callback_on_step_end(self, step, timestep, said) or {}).get("latents")

        with pose_guided(self.unet) as added:

            def predict(inputs: Tensor, timestep: Tensor, tile: Sequence[int], conditioned: bool) -> Tensor:
                added["pose_latents"] = pose_latents[list(tile)] if conditioned else None
                return self.unet(
                    inputs,
                    timestep,
                    encoder_hidden_states=image_embeds if conditioned else torch.zeros_like(image_embeds),
                    added_time_ids=added_time_ids,
                    return_dict=False,
                )[0]

            return denoise_in_tiles(
                self.scheduler, latents, image_latents, predict, tiles, guidance, after_step
            )

    def _picture_latents(
        self, image: Image.Image, height: int, width: int, noise_aug_strength: float, generator: Any
    ) -> Tensor:
        """The picture on the latent grid, unscaled as SVD takes it; noise is drawn at strength 0 too."""
        device = self._execution_device
        pixels = self.video_processor.preprocess(image, height=height, width=width).to(device)
        noise = randn_tensor(pixels.shape, generator=generator, device=device, dtype=pixels.dtype)
        upcast = self.vae.dtype == torch.float16 and self.vae.config.force_upcast
        if upcast:
            self.vae.to(dtype=torch.float32)
        latents = self._encode_vae_image(pixels + noise_aug_strength * noise, device, 1, False)
        if upcast:
            self.vae.to(dtype=torch.float16)
        return latents

    def _pose_latents(self, pose_pixels: Tensor, chunk: int) -> Tensor:
        """Features of all drawings, a few at a time: they stay the same from step to step."""
        device, dtype = self._execution_device, self.pose_net.dtype
        return torch.cat(
            [
                self.pose_net((part.to(device).float() / 127.5 - 1).to(dtype))
                for part in pose_pixels.split(chunk)
            ]
        )
