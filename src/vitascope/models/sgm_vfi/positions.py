"""Tell attention where in its window a feature stands."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sine_position(
    height: int, width: int, channels: int, device: torch.device | None = None
) -> Float[Tensor, "channels height width"]:
    """Sines and cosines of the row (first half of the channels) and the column (second half).

    Source: Carion et al., "End-to-End Object Detection with Transformers" (DETR), section A.4, with
    coordinates 1..n normalised to (0, 2 pi]; as used by MCG-NJU/SGM-VFI @40b5e74, model/position.py.
    """
    per_axis = channels // 2
    step = torch.arange(per_axis, dtype=torch.float32, device=device)
    period = 10000.0 ** (2 * torch.div(step, 2, rounding_mode="floor") / per_axis)

    def waves(length: int) -> Tensor:
        place = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        angle = (place / (length + 1e-6) * (2 * math.pi))[:, None] / period
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=-1).flatten(1)

    rows = waves(height).T[:, :, None].expand(per_axis, height, width)
    columns = waves(width).T[:, None, :].expand(per_axis, height, width)
    return torch.cat((rows, columns))
