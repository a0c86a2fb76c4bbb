"""Running an autoencoder on overlapping tiles of a clip and blending their seams.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0,
opensora/models/causalvideovae/model/causal_vae/modeling_causalvae.py, MIT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """How large tiles are; the defaults are the published sampler's.

    Units: `sample_size` and `sample_frames` in pixels and frames, `latent_size` and `latent_frames` in those
    of latents, which must be the same tile. `overlap` is a share of the tile's side.
    Source: opensora/sample/sample_t2v.py at v1.2.0.
    """

    sample_size: int = 512
    latent_size: int = 64
    sample_frames: int = 29
    latent_frames: int = 8
    overlap: float = 0.125

    def fits_sample(self, clip: Tensor) -> bool:
        """Whether a clip needs no tiles."""
        return _fits(clip, self.sample_size, self.sample_frames)

    def fits_latents(self, latents: Tensor) -> bool:
        """Whether latents need no tiles."""
        return _fits(latents, self.latent_size, self.latent_frames)


def run_tiled(
    x: Tensor, run: Callable[[Tensor], Tensor], frames: int, size: int, size_out: int, overlap: float
) -> Tensor:
    """Run on chunks of `frames` that share one frame, each in tiles of `size` that become `size_out`.

    A later chunk's first frame is the one before's last, and is dropped.
    """
    starts = range(0, x.shape[2] - 1, frames - 1) or [0]
    chunks = [x[:, :, start : start + frames] for start in starts]
    done = [_run_in_tiles(chunk, run, size, size_out, overlap) for chunk in chunks]
    return torch.cat([done[0], *(chunk[:, :, 1:] for chunk in done[1:])], dim=2)


def _run_in_tiles(
    x: Tensor, run: Callable[[Tensor], Tensor], size: int, size_out: int, overlap: float
) -> Tensor:
    step, seam = int(size * (1 - overlap)), int(size_out * overlap)
    keep = size_out - seam
    tops, lefts = range(0, x.shape[3], step), range(0, x.shape[4], step)
    rows: list[Tensor] = []
    above: list[Tensor] = []
    for top in tops:
        tiles = [run(x[..., top : top + size, left : left + size]) for left in lefts]
        for column, tile in enumerate(tiles):
            if above:
                _blend(above[column], tile, seam, axis=3)
            if column:
                _blend(tiles[column - 1], tile, seam, axis=4)
        rows.append(torch.cat([tile[..., :keep, :keep] for tile in tiles], dim=4))
        above = tiles
    return torch.cat(rows, dim=3)


def _blend(before: Tensor, tile: Tensor, seam: int, axis: int) -> None:
    """Fade from the tile before into this one, in place: the next seam starts from the faded tile."""
    seam = min(before.shape[axis], tile.shape[axis], seam)
    if not seam:
        return
    shape = [1] * tile.ndim
    shape[axis] = seam
    share = (torch.arange(seam, device=tile.device, dtype=tile.dtype) / seam).view(shape)
    end = before.narrow(axis, before.shape[axis] - seam, seam)
    start = tile.narrow(axis, 0, seam)
    start.copy_(end * (1 - share) + start * share)


def _fits(x: Tensor, size: int, frames: int) -> bool:
    return x.shape[2] <= frames and max(x.shape[3:]) <= size
