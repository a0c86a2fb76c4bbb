"""Progressive latent fusion: a long clip is denoised in tiles of frames that overlap, all in one loop.

Every tile starts with the reference frame; where tiles overlap, a frame takes more from the tile in whose middle
it stands.

Source: arXiv 2406.19680, section 3.4, algorithm 1; Tencent/MimicMotion at 62f91e1,
mimicmotion/pipelines/pipeline_mimicmotion.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor, Sequence[int], bool], Tensor]
AfterStep = Callable[[int, Tensor, Tensor, Tensor], Tensor | None]


def clamped_tile(num_frames: int, tile_size: int, tile_overlap: int) -> tuple[int, int]:
    """Size and overlap of tiles for a clip that may be shorter than one (upstream makes none of it then)."""
    size = min(tile_size, num_frames)
    return size, max(1, min(tile_overlap, size - 1))


def tiles_of(num_frames: int, tile_size: int, tile_overlap: int) -> list[list[int]]:
    """The frames of each tile: the reference frame 0, then neighbours that share `tile_overlap` - 1 frames.

    Range: 2 <= tile_size <= num_frames, 1 <= tile_overlap < tile_size.
    """
    stride = tile_size - tile_overlap
    starts = range(0, num_frames - tile_size + 1, stride)
    tiles = [[0, *range(start + 1, start + tile_size)] for start in starts]
    if tiles[-1][-1] < num_frames - 1:
        tiles.append([0, *range(num_frames - tile_size + 1, num_frames)])
    return tiles


def tile_weights(tile_size: int) -> Tensor:
    """How much each place of a tile counts: most in the middle, least at both ends. Shape: (tile_size,)."""
    place = (torch.arange(tile_size) + 0.5) * 2 / tile_size
    return torch.minimum(place, 2 - place)


def initial_latents(noise: Tensor, num_frames: int) -> Tensor:
    """The noise of one tile, repeated until it reaches over the clip. Shape: 1 S c h w to 1 N c h w."""
    copies = num_frames // noise.shape[1] + 1
    return noise.repeat(1, copies, 1, 1, 1)[:, :num_frames]


def guidance_scales(low: float, high: float, num_frames: int, like: Tensor) -> Tensor:
    """Guidance for each frame, rising evenly from the first to the last. Shape: (1, N, 1, 1, 1)."""
    return torch.linspace(low, high, num_frames).to(like).reshape(1, num_frames, 1, 1, 1)


def denoise_in_tiles(
    scheduler: Any,
    latents: Tensor,
    image_latents: Tensor,
    predict: Predict,
    tiles: Sequence[Sequence[int]],
    guidance: Tensor | None,
    after_step: AfterStep | None = None,
) -> Tensor:
    """The denoising loop: all tiles are predicted, fused and guided before one step is taken on all frames.

    `scheduler` has its timesteps set, `latents` their noise at its scale. `predict(inputs, timestep, tile,
    with_condition)` is the UNet's answer for one tile; `inputs` are the tile's latents beside those of the picture,
    or beside zeros. `guidance`: as `guidance_scales`; None asks with the conditions alone.
    `after_step(step, timestep, latents, prediction)` may return changed latents.

    Shape: latents 1 N c h w; image_latents 1 c h w; inputs 1 S 2c h w.
    """
    num_frames = latents.shape[1]
    weights = tile_weights(len(tiles[0])).to(latents)[None, :, None, None, None]
    total = latents.new_zeros(1, num_frames, 1, 1, 1)
    for tile in tiles:
        total[:, tile] += weights
    picture = image_latents[:, None].expand(-1, num_frames, -1, -1, -1)

    def fused(scaled: Tensor, timestep: Tensor, with_condition: bool) -> Tensor:
        beside = picture if with_condition else torch.zeros_like(picture)
        inputs, prediction = torch.cat([scaled, beside], dim=2), torch.zeros_like(latents)
        for tile in tiles:
            prediction[:, tile] += weights * predict(inputs[:, tile], timestep, tile, with_condition)
        return prediction / total

    for step, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep)
        prediction = fused(scaled, timestep, True)
        if guidance is not None:
            without = fused(scaled, timestep, False)
            prediction = without + guidance * (prediction - without)
        latents = scheduler.step(prediction, timestep, latents).prev_sample
        if after_step is not None:
            changed = after_step(step, timestep, latents, prediction)
            latents = latents if changed is None else changed
    return latents
