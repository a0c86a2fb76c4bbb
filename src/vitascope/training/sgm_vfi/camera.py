"""What a camera and a codec add to clean frames: noise, blocks, a light that changes."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 8
LEAST_NOISE, MOST_NOISE = 0.002, 0.025
LEAST_STEP, MOST_STEP = 0.02, 0.25
NOISY_SHARE, COMPRESSED_SHARE = 0.35, 0.35


def degraded(
    first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"], generator: torch.Generator
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    """The outer frames as a cheap camera would give them, some of each batch; the middle one stays clean.

    Noise differs from frame to frame and the truth has none, so that what pays is to average both frames
    where they show the same thing.
    """
    batch = len(first)
    frames = torch.stack((first, second), dim=1)

    def some(share: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, 1, device=first.device, generator=generator) < share

    def log_uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand(batch, 1, 1, 1, 1, device=first.device, generator=generator)
        return (math.log(low) + drawn * math.log(high / low)).exp()

    noise = torch.randn(frames.shape, device=first.device, generator=generator)
    frames = frames + noise * (log_uniform(LEAST_NOISE, MOST_NOISE) * some(NOISY_SHARE))
    frames = torch.where(some(COMPRESSED_SHARE), blocky(frames, log_uniform(LEAST_STEP, MOST_STEP)), frames)
    first, second = frames.clamp(0, 1).unbind(1)
    return first, second


def blocky(frames: Float[Tensor, "*B H W"], step: Float[Tensor, "*B 1 1"]) -> Float[Tensor, "*B H W"]:
    """Blocks of 8 x 8 with their cosine coefficients rounded to `step`, the high ones more coarsely.

    Shape: height and width multiples of 8.
    """
    place = torch.arange(BLOCK, device=frames.device, dtype=frames.dtype)
    waves = (math.pi / BLOCK * (place + 0.5) * place[:, None]).cos() * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    coarse = 0.3 + 0.1 * (place + place[:, None])
    height, width = frames.shape[-2:]
    blocks = (
        frames.unflatten(-1, (width // BLOCK, BLOCK))
        .unflatten(-3, (height // BLOCK, BLOCK))
        .transpose(-3, -2)
    )
    size = step[..., None, None] * coarse
    coefficients = ((waves @ blocks @ waves.T) / size).round() * size
    return (waves.T @ coefficients @ waves).transpose(-3, -2).flatten(-2).flatten(-3, -2)
