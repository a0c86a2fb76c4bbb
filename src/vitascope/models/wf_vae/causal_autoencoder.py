"""What a causal video autoencoder offers, whatever its network: diffusers' doors, the grid of its clips."""

from __future__ import annotations

from abc import abstractmethod

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.autoencoders.vae import AutoencoderMixin, DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from vitascope.errors import RequestError


class CausalVideoAutoencoder(ModelMixin, AutoencoderMixin, ConfigMixin):  # type: ignore[misc]
    """Clips to latents and back, the first frame by itself and each further latent frame for several frames.

    A subclass gives the ratios, `_moments` and `_frames` (which mind `use_tiling`), and how its latents are
    scaled for a denoiser.
    Shape: clips B 3 T H W in [-1, 1], T = k * temporal ratio + 1; latents B c k+1 H/s W/s.
    """

    temporal_compression_ratio: int
    spatial_compression_ratio: int
    use_tiling = False
    use_slicing = False

    @apply_forward_hook
    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """Encode clips to the distribution of their latents.

        Raises: RequestError for a size or length that is off the grid.
        """
        self._check_clip(x)
        posterior = DiagonalGaussianDistribution(torch.cat([self._moments(clip) for clip in self._slices(x)]))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    @apply_forward_hook
    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """Decode (unscaled) latents to clips."""
        clip = torch.cat([self._frames(latents) for latents in self._slices(z)])
        return DecoderOutput(sample=clip) if return_dict else (clip,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """Encode and decode the mean of the latents."""
        posterior = self.encode(sample, return_dict=False)[0]
        return self.decode(posterior.mode(), return_dict=return_dict)

    @abstractmethod
    def scale_latents(self, z: Tensor) -> Tensor:
        """What the encoder gives, as a denoiser takes it."""

    @abstractmethod
    def unscale_latents(self, latents: Tensor) -> Tensor:
        """What a denoiser gives, as the decoder takes it."""

    @abstractmethod
    def _moments(self, clip: Tensor) -> Tensor:
        """Mean and log variance of a clip's latents."""

    @abstractmethod
    def _frames(self, latents: Tensor) -> Tensor:
        """The clip of some latents."""

    def _slices(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(1) if self.use_slicing else (x,)

    def _check_clip(self, clip: Tensor) -> None:
        ratio, side = self.temporal_compression_ratio, self.spatial_compression_ratio
        num_frames, height, width = clip.shape[2:]
        if (num_frames - 1) % ratio:
            nearest = round((num_frames - 1) / ratio) * ratio + 1
            raise RequestError(
                f"num_frames={num_frames}: must be {ratio}k+1, the nearest is {nearest}", param="num_frames"
            )
        if height % side or width % side:
            raise RequestError(f"size {width}x{height}: both sides must be multiples of {side}")
