"""What causal convolutions with repeated borders share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def padded(chunk: Tensor, past: Tensor | None) -> Tensor:
    """A border of a pixel, and the past in front: two frames, at the start the first frame repeated."""
    frames = functional.pad(chunk, (1, 1, 1, 1, 0, 0), mode="replicate")
    if past is None:
        past = frames[:, :, :1].expand(-1, -1, 2, -1, -1)
    return torch.cat([past, frames], dim=2)


def remembered(frames: Tensor) -> Tensor:
    """What the next chunk needs of a `padded` one: a copy, so that the whole tensor can go."""
    return frames[:, :, -2:].clone()
