"""Open-Sora 1.2's video VAE: an image VAE on every frame, then a causal VAE along time, 17 frames at a time.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/models/vae/vae.py, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import AutoencoderMixin, DiagonalGaussianDistribution
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from vitascope.models.opensora.temporal_autoencoder import Layout, TemporalAutoencoder

# Frames that go through the image VAE together: speed and memory, not results.
FRAME_BATCH_SIZE = 4


class AutoencoderKLOpenSora(ModelMixin, AutoencoderMixin, ConfigMixin):  # type: ignore[misc]
    """Pixels to latents 8 times smaller in space and about 3.4 times in time (17 frames become 5), and back.

    Any number of frames comes back as that number. Latents are given and taken normalised, each channel to
    about zero mean and unit variance. The defaults are the published 393M weights.

    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/vae/vae.py, OpenSoraVAE_V1_2; its spatial
    half is the SDXL autoencoder's architecture as in PixArt-Sigma.
    """

    config: Any

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 4,
        spatial_block_out_channels: tuple[int, ...] = (128, 256, 512, 512),
        spatial_layers_per_block: int = 2,
        spatial_norm_num_groups: int = 32,
        temporal_block_out_channels: tuple[int, ...] = (128, 256, 256, 512),
        temporal_layers_per_block: int = 4,
        temporal_norm_num_groups: int = 32,
        temporal_downsample: tuple[bool, ...] = (False, True, True),
        frames_per_chunk: int | None = 17,  # noqa: ARG002
        latents_mean: tuple[float, ...] = (-0.10, 0.34, 0.27, 0.98),
        latents_std: tuple[float, ...] = (3.85, 2.32, 2.33, 3.06),
        # The video model was trained on this factor, although the SDXL autoencoder's own is 0.13025.
        spatial_scaling_factor: float = 0.18215,  # noqa: ARG002
    ) -> None:
        super().__init__()
        levels = len(spatial_block_out_channels)
        self.spatial_vae: Any = AutoencoderKL(
            in_channels=in_channels,
            out_channels=in_channels,
            latent_channels=latent_channels,
            block_out_channels=tuple(spatial_block_out_channels),
            layers_per_block=spatial_layers_per_block,
            norm_num_groups=spatial_norm_num_groups,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
        )
        self.temporal_vae = TemporalAutoencoder(
            Layout(
                channels=latent_channels,
                latent_channels=latent_channels,
                widths=temporal_block_out_channels,
                time_halvings=temporal_downsample,
                num_layers=temporal_layers_per_block,
                num_groups=temporal_norm_num_groups,
            )
        )
        self.register_buffer("shift", torch.tensor(latents_mean).view(1, -1, 1, 1, 1))
        self.register_buffer("scale", torch.tensor(latents_std).view(1, -1, 1, 1, 1))
        self.spatial_compression: int = 2 ** (levels - 1)
        self.frame_batch_size = FRAME_BATCH_SIZE
        self.use_tiling = False
        self.use_slicing = False

    def num_latent_frames(self, num_frames: int) -> int:
        """How many latent frames stand for `num_frames`: 5 for each full 17, and a quarter of the rest."""
        chunk = self.config.frames_per_chunk or num_frames
        per_chunk, of_the_rest = (
            -(-n // self.temporal_vae.time_compression) for n in (chunk, num_frames % chunk)
        )
        return num_frames // chunk * per_chunk + of_the_rest

    @apply_forward_hook
    def encode(
        self, x: Tensor, sample_posterior: bool = True, generator: torch.Generator | None = None
    ) -> Tensor:
        """Turn pixels into normalised latents; both halves draw from their posterior, or take its mode.

        Shape: `B C T H W` -> `B c num_latent_frames(T) H/8 W/8`.
        Range: pixels -1..1.
        """

        spatial = self.encode_frames(x, sample_posterior, generator)
        chunks = spatial.split(self.config.frames_per_chunk or spatial.shape[2], dim=2)
        posteriors = (self.temporal_vae.encode(chunk) for chunk in chunks)
        latents = torch.cat(
            [_draw(posterior, sample_posterior, generator) for posterior in posteriors], dim=2
        )
        return (latents - self.shift) / self.scale

    def encode_frames(
        self, x: Tensor, sample_posterior: bool = True, generator: torch.Generator | None = None
    ) -> Tensor:
        """Do only the first half: each frame by itself.

        Shape: `B C T H W` -> `B c T H/8 W/8`.
        """
        some = x.transpose(1, 2).flatten(0, 1).split(self.frame_batch_size)
        posteriors = (self.spatial_vae.encode(frames).latent_dist for frames in some)
        latents = torch.cat([_draw(posterior, sample_posterior, generator) for posterior in posteriors])
        return (latents * self.config.spatial_scaling_factor).unflatten(0, (x.shape[0], -1)).transpose(1, 2)

    @apply_forward_hook
    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """Turn normalised latents into pixels.

        Shape: `B c num_latent_frames(num_frames) h w` -> `B C num_frames 8h 8w`.
        Range: about -1..1; not clipped.
        """
        return self._decode_frames(torch.cat(list(self._decode_time(latents, num_frames)), dim=2))

    @apply_forward_hook
    def decode_chunks(self, latents: Tensor, num_frames: int) -> Iterator[Tensor]:
        """Decode one chunk of frames after the other, so that a long video never stands in memory whole.

        Chunks share no frame: joined, they are what `decode` gives, to rounding.
        """
        for frames in self._decode_time(latents, num_frames):
            yield self._decode_frames(frames)

    def _decode_time(self, latents: Tensor, num_frames: int) -> Iterator[Tensor]:
        chunk, expected = self.config.frames_per_chunk or num_frames, self.num_latent_frames(num_frames)
        if latents.shape[2] != expected:
            raise ValueError(f"{num_frames} frames need {expected} latent frames, not {latents.shape[2]}")
        latents = latents * self.scale + self.shift
        parts = latents.split(self.num_latent_frames(chunk), dim=2)
        for start, part in zip(range(0, num_frames, chunk), parts, strict=True):
            yield self.temporal_vae.decode(part, min(chunk, num_frames - start))

    def _decode_frames(self, spatial: Tensor) -> Tensor:
        frames = spatial.transpose(1, 2).flatten(0, 1) / self.config.spatial_scaling_factor
        pixels = torch.cat(
            [self.spatial_vae.decode(some).sample for some in frames.split(self.frame_batch_size)]
        )
        return pixels.unflatten(0, (spatial.shape[0], -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, sample_posterior: bool = False, generator: torch.Generator | None = None
    ) -> Tensor:
        """Encode and decode again."""
        return self.decode(self.encode(x, sample_posterior, generator), num_frames=x.shape[2])

    def enable_tiling(self) -> None:
        """Decode big frames in overlapping tiles: less memory, slightly different pixels near the borders."""
        super().enable_tiling()
        self.spatial_vae.enable_tiling()

    def disable_tiling(self) -> None:
        """Go back to whole frames."""
        super().disable_tiling()
        self.spatial_vae.disable_tiling()

    def enable_slicing(self) -> None:
        """Send frames through the image VAE one at a time: less memory, the same pixels."""
        super().enable_slicing()
        self.frame_batch_size = 1

    def disable_slicing(self) -> None:
        """Go back to a few frames at a time."""
        super().disable_slicing()
        self.frame_batch_size = FRAME_BATCH_SIZE


def _draw(posterior: DiagonalGaussianDistribution, sample: bool, generator: torch.Generator | None) -> Tensor:
    return posterior.sample(generator) if sample else posterior.mode()
