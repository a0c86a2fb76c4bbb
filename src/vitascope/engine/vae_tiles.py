"""Decoding a clip in tiles that fit together.

diffusers cuts its tiles by a share of their size, rounded once for the latents and once for the pixels. Where the two
disagree, a clip of 128x128 comes out as 136x140, its tiles moved against one another.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

SIDES = ("height", "width")


def enable(vae: Any) -> None:
    """Let `vae` work in tiles: diffusers' own where they fit together, else the nearest that do."""
    vae.enable_tiling()
    for side in SIDES:
        if hasattr(vae, f"tile_overlap_factor_{side}"):
            _fit(vae, side)


def _fit(vae: Any, side: str) -> None:
    """Let the tiles of one side overlap by whole latents; a fraction is not rounded when it is multiplied."""
    pixels_a_latent = 2 ** (len(vae.config.block_out_channels) - 1)
    latents: int = getattr(vae, f"tile_latent_min_{side}")
    overlap = max(1, round(latents * getattr(vae, f"tile_overlap_factor_{side}")))
    setattr(vae, f"tile_sample_min_{side}", latents * pixels_a_latent)
    setattr(vae, f"tile_overlap_factor_{side}", Fraction(overlap, latents))
