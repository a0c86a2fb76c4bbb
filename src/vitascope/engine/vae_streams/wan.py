"""Wan's decoder in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


class WanStream:
    """The decoder of an AutoencoderKLWan, which diffusers feeds latent frame by latent frame, handing frames out.

    Its convolutions keep their past already, so the result is diffusers' to the bit; what falls away is the tensor
    of all frames, copied anew for each.

    Source: diffusers 0.42.1, models/autoencoders/autoencoder_kl_wan.py (_decode), Apache-2.0.
    """

    bare = False

    def __init__(self, vae: Any, compiled: bool = False) -> None:  # noqa: ARG002  it must equal diffusers to the bit
        self._vae = vae

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Pixels of one latent frame after the other. Shape: (B, c, t, h, w) -> t times (B, 3, T, H, W)."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        vae = self._vae
        vae.clear_cache()
        try:
            for index, frame in enumerate(vae.post_quant_conv(latents).split(1, dim=2)):
                vae._conv_idx = [0]
                pixels = vae.decoder(
                    frame, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=index == 0
                )
                if vae.config.patch_size is not None:
                    pixels = unpatchify(pixels, patch_size=vae.config.patch_size)
                yield pixels.clamp(-1.0, 1.0)
        finally:
            vae.clear_cache()
