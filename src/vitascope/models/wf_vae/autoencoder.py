"""WF-VAE as a diffusers model, with encoding and decoding in chunks of time that leave no seam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 (diffusers seeks it here on loading)
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from vitascope.errors import RequestError
from vitascope.models.wf_vae.blocks import NormType, TimeInterpolation
from vitascope.models.wf_vae.causal_autoencoder import CausalVideoAutoencoder
from vitascope.models.wf_vae.network import Decoder, Encoder, Widths
from vitascope.models.wf_vae.stream import TemporalStream

SPATIAL_COMPRESSION = 8


class AutoencoderKLWFVAE(CausalVideoAutoencoder):
    """The wavelet-flow video autoencoder of Open-Sora-Plan 1.3 and 1.5, and the 16-channel WF-VAE-L.

    Latents for a denoiser are `(z - shift_factor) * scaling_factor`, one number a channel or one for all; a
    model published without statistics for its latents has None for them.
    Shape: clips B 3 T H W in [-1, 1], T = 4k+1 (8k+1); latents B c t h w, t = k+1, h = H/8, w = W/8.
    Source: WF-VAE (arXiv 2411.17459); defaults are the 8-channel model of Open-Sora-Plan 1.3,
    github.com/PKU-YuanGroup/Open-Sora-Plan at v1.3.1, opensora/models/causalvideovae/model/vae/, MIT.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        base_channels: int = 128,
        encoder_num_blocks: int = 2,
        encoder_flow_channels: int = 64,
        decoder_num_blocks: int = 2,
        decoder_flow_channels: int = 128,
        num_connect_blocks: int = 2,
        use_attention: bool = True,
        norm_type: NormType = "layernorm",
        time_interpolation: TimeInterpolation = "trilinear",
        temporal_compression_ratio: int = 4,
        scaling_factor: float | Sequence[float] | None = 0.18215,
        shift_factor: float | Sequence[float] | None = 0.0,
    ) -> None:
        super().__init__()
        if temporal_compression_ratio not in (4, 8):
            raise RequestError(f"temporal_compression_ratio={temporal_compression_ratio}: WF-VAE has 4 and 8")
        halves_time_twice = temporal_compression_ratio == 8
        shared = (use_attention, norm_type, halves_time_twice)
        self.encoder = Encoder(
            Widths(latent_channels, base_channels, encoder_flow_channels, encoder_num_blocks, *shared)
        )
        self.decoder = Decoder(
            Widths(latent_channels, base_channels, decoder_flow_channels, decoder_num_blocks, *shared),
            num_connect_blocks,
            time_interpolation,
        )
        self.norm_type = norm_type
        self.temporal_compression_ratio = temporal_compression_ratio
        self.spatial_compression_ratio = SPATIAL_COMPRESSION
        self.scaling_factor, self.shift_factor = scaling_factor, shift_factor
        self.latent_frames_per_chunk = 2

    def enable_tiling(self, latent_frames_per_chunk: int = 2) -> None:
        """Encode and decode in chunks of this many latent frames: the same result in less memory.

        Raises: RequestError for a model with group norms, whose statistics run over all frames.
        """
        if self.norm_type != "layernorm":
            raise RequestError(f"norm_type={self.norm_type!r} needs all frames at once: leave tiling off")
        if latent_frames_per_chunk < 1:
            raise RequestError(f"latent_frames_per_chunk={latent_frames_per_chunk}: must be at least 1")
        self.latent_frames_per_chunk = latent_frames_per_chunk
        self.use_tiling = True

    @apply_forward_hook
    def decode_chunks(self, z: Tensor) -> Iterator[Tensor]:
        """Decode (unscaled) latents, giving frames as soon as they are final; their sum is the whole clip.

        With tiling off, there is one chunk.
        """
        stream = TemporalStream()
        chunks = z.split(self.latent_frames_per_chunk if self.use_tiling else z.shape[2], dim=2)
        for index, latents in enumerate(chunks):
            stream.is_first, stream.is_last = index == 0, index == len(chunks) - 1
            yield self.decoder(latents, stream).sample

    def scale_latents(self, z: Tensor) -> Tensor:
        """What the encoder gives, as a denoiser takes it."""
        scale, shift = self._latent_statistics(z)
        return (z - shift) * scale

    def unscale_latents(self, latents: Tensor) -> Tensor:
        """What a denoiser gives, as the decoder takes it."""
        scale, shift = self._latent_statistics(latents)
        return latents / scale + shift

    def _moments(self, clip: Tensor) -> Tensor:
        stream = TemporalStream()
        ratio, num_frames = self.temporal_compression_ratio, clip.shape[2]
        step = self.latent_frames_per_chunk * ratio if self.use_tiling else num_frames
        # The first latent frame stands for one frame, each later one for `ratio`.
        ends = [*range(step - ratio + 1 if self.use_tiling else num_frames, num_frames, step), num_frames]
        moments = []
        for begin, end in zip([0, *ends], ends, strict=False):
            stream.is_first, stream.is_last = begin == 0, end == num_frames
            moments.append(self.encoder(clip[:, :, begin:end], stream).sample)
        return torch.cat(moments, dim=2)

    def _frames(self, latents: Tensor) -> Tensor:
        return torch.cat(list(self.decode_chunks(latents)), dim=2)

    def _latent_statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        if self.scaling_factor is None or self.shift_factor is None:
            raise RequestError(
                "this WF-VAE has no statistics for its latents: give scaling_factor and shift_factor"
            )
        numbers = self.scaling_factor, self.shift_factor
        scale, shift = (
            torch.tensor(n, device=latents.device, dtype=latents.dtype).reshape(-1) for n in numbers
        )
        return scale.view(1, -1, 1, 1, 1), shift.view(1, -1, 1, 1, 1)
