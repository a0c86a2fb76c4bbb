"""Small previews of the clip while it is denoised, decoded from the latents now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from vitascope.clip import Image, Pixels
from vitascope.context import Context
from vitascope.engine.placement import Placement

# A few frames out of latents, or None by a family that cannot. Shape: (T, H, W, 3) uint8.
Decode = Callable[[Any], Pixels | None]
MAX_LATENT_SIDE = 32  # latents are averaged down to it: the picture is small, and the noise goes down with it


@dataclass
class Previews:
    """Decodes a part of the latents at most every `context.preview_every_s` seconds.

    `decode` takes latents of one clip as the pipeline has them. A preview that fails costs nothing but itself.
    """

    decode: Decode
    context: Context
    _made_at: float = field(default_factory=time.monotonic)
    _has_failed: bool = False

    @classmethod
    def where(cls, placement: Placement, decode: Decode, context: Context) -> Self | None:
        """None where the decoder is not at hand between two steps: offloaded, or shared among processes."""
        if placement.offload != "none" or placement.gpus > 1:
            return None
        return cls(decode, context)

    def of(self, output: Any) -> Image | None:
        """A picture of what a scheduler's step has returned, if one is due."""
        every = self.context.preview_every_s
        if every <= 0 or self._has_failed or time.monotonic() - self._made_at < every:
            return None
        self._made_at = time.monotonic()
        try:
            frames = self.decode(_clean_latents(output))
        except RuntimeError as error:  # out of memory, above all
            self._has_failed = True
            self.context.warn(f"no more previews: {str(error).splitlines()[0][:120]}")
            return None
        return None if frames is None else Image(np.ascontiguousarray(frames[len(frames) // 2]))


def _clean_latents(output: Any) -> Any:
    """The latents as the scheduler thinks that they will end, where it tells; else as they are now."""
    values = list(output.values()) if hasattr(output, "values") else list(output)
    latents = values[0]
    is_told = len(values) > 1 and values[1] is not None and values[1].shape == latents.shape
    return (values[1] if is_told else latents)[:1]


def averaged_down(latents: Any) -> Any:
    """Latents whose last two axes have at most 32 cells, their shape kept. Shape: (..., h, w)."""
    import torch

    height, width = latents.shape[-2:]
    share = min(1.0, MAX_LATENT_SIDE / max(height, width))
    if share == 1.0:
        return latents
    size = tuple(max(2, 2 * round(side * share / 2)) for side in (height, width))
    flat = latents.reshape(-1, 1, height, width)
    pooled = torch.nn.functional.adaptive_avg_pool2d(flat, size)
    return pooled.reshape(*latents.shape[:-2], *size)


def as_pixels(frames: Any) -> Pixels:
    """A decoder's output as pixels. Shape: (1, C, T, H, W) in -1..1 to (T, H, W, 3) uint8."""
    scaled = (frames[0].float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(1, 2, 3, 0).cpu().numpy()
