"""Where a latent token stands: rotary tables (1.2, 1.3) and added sinusoids (early 1.2).

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0, opensora/models/diffusion/opensora/rope.py and
modules.py, MIT.
"""

from __future__ import annotations

import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed, get_1d_sincos_pos_embed_from_grid
from torch import Tensor, nn

Grid = tuple[int, int, int]
Scale = tuple[float, float, float]
RotaryTables = tuple[tuple[tuple[Tensor, Tensor], ...], tuple[Tensor, ...]]


class TokenPlaces(nn.Module):
    """Frame, row and column of each token. Its own module, so that a plan can split what it gives."""

    def forward(self, grid: Grid, device: torch.device) -> tuple[Tensor, ...]:
        """Shape: three of 1 N."""
        places = torch.cartesian_prod(*(torch.arange(length, device=device) for length in grid))
        return tuple(places.T[:, None])


def rotary_axes(
    grid: Grid, head_dim: int, scale: Scale, device: torch.device
) -> tuple[tuple[Tensor, Tensor], ...]:
    """(cos, sin) of each place on each axis.

    A third of each head turns with the frame, a third with the row, a third with the column.
    Shape: `grid` and `scale` are (frames, rows, columns) of tokens.
    """
    return tuple(
        get_1d_rotary_pos_embed(
            head_dim // 3,
            torch.arange(length, device=device, dtype=torch.float32) / axis_scale,  # type: ignore[arg-type]
            use_real=True,
            repeat_interleave_real=False,
        )
        for length, axis_scale in zip(grid, scale, strict=True)
    )


def added_positions(grid: Grid, base_grid: Grid, dim: int, scale: Scale, device: torch.device) -> Tensor:
    """Sinusoids to add to the tokens of a model without rotary tables.

    The grid is stretched over `base_grid`, the one that the model was trained on.
    Shape: t (h w) D; columns fill the first half of D and rows the second, frames are added over all of it.
    """
    frames, rows, columns = (
        get_1d_sincos_pos_embed_from_grid(
            dim if axis == 0 else dim // 2,
            torch.arange(length, device=device, dtype=torch.float32) * base / length / axis_scale,
            output_type="pt",
        ).float()
        for axis, (length, base, axis_scale) in enumerate(zip(grid, base_grid, scale, strict=True))
    )
    _, num_rows, num_columns = grid
    within_frame = torch.cat(
        [columns.expand(num_rows, -1, -1), rows[:, None].expand(-1, num_columns, -1)], dim=-1
    )
    return frames[:, None] + within_frame.flatten(0, 1)
