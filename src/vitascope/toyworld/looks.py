"""Looks that the toy world is never drawn in, for style fine-tuning; and telling them apart again.

A look is a fixed change of the drawn pixels. The model in the box never saw "blueprint".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.backgrounds import PAINTERS
from vitascope.toyworld.checkers import Reader
from vitascope.toyworld.renderer import NUM_FRAMES, SIZE, draw, plan
from vitascope.toyworld.scenes import Scene

Look = Callable[[Tensor, Tensor], Tensor]
_LUMA = (0.299, 0.587, 0.114)
_WHITE = 0.6
"""The red of a line on blueprint is above this, that of the paper and of thin lines mostly below."""
_SPECK = 12
"""White pixels side by side that may yet be a star or a lit window."""
_NAVY, _PAPER = (0.04, 0.13, 0.42), (0.42, 0.62, 0.90)


def luma(frames: Tensor) -> Tensor:
    """Brightness. Shape: (..., 3) -> (...)."""
    return frames @ frames.new_tensor(_LUMA)


def outlines(picture: Tensor, radius: int) -> Tensor:
    """Where a picture changes within `radius` pixels, and by how much. Shape: (B, T, H, W)."""
    flat, size = picture.flatten(0, 1)[:, None], 2 * radius + 1
    high = F.max_pool2d(flat, size, 1, radius)
    low = -F.max_pool2d(-flat, size, 1, radius)
    return (high - low)[:, 0].view_as(picture)


def _plain(frames: Tensor, cover: Tensor) -> Tensor:  # noqa: ARG001
    return frames


def _blueprint(frames: Tensor, cover: Tensor) -> Tensor:
    """White lines on blue paper: actors by a thick outline, all else by its brightness and thin lines."""
    light = luma(frames)[..., None]
    paper = torch.lerp(frames.new_tensor(_NAVY), frames.new_tensor(_PAPER), light)
    thin = (0.6 * outlines(luma(frames), 1) - 0.125).clamp(0, 0.5)
    lines = torch.maximum(outlines(cover.amax(1), 2), thin)
    return torch.lerp(paper, torch.ones_like(paper), lines.clamp(0, 1)[..., None])


def sepia(frames: Tensor, cover: Tensor) -> Tensor:  # noqa: ARG001
    """Brown tones of old photographs."""
    return torch.lerp(
        frames.new_tensor((0.20, 0.11, 0.05)), frames.new_tensor((1.0, 0.92, 0.76)), luma(frames)[..., None]
    )


def negative(frames: Tensor, cover: Tensor) -> Tensor:  # noqa: ARG001
    """Every channel turned round."""
    return 1 - frames


def poster(frames: Tensor, cover: Tensor) -> Tensor:  # noqa: ARG001
    """Four steps a channel, the channels exchanged."""
    return frames[..., [1, 2, 0]].mul(3).round() / 3


LOOKS: dict[str, Look] = {
    "plain": _plain,
    "blueprint": _blueprint,
    "sepia": sepia,
    "negative": negative,
    "poster": poster,
}
"""Frames (B, T, H, W, 3) in 0..1 and the actors' cover (B, S, T, H, W) -> frames in that look."""


@torch.no_grad()
def render_in(look: str, scenes: Sequence[Scene], num_frames: int = NUM_FRAMES, size: int = SIZE) -> Tensor:
    """Draw scenes as clips in a look. Shape: (B, T, H, W, 3), values in 0..1."""
    drawn = draw(plan(scenes, num_frames), size)
    return LOOKS[look](drawn.frames, drawn.cover)


class LookReader:
    """Tells in which look a clip is, and which way its actor goes whatever the look. No learned weights."""

    def __init__(
        self, looks: dict[str, Look] | None = None, size: int = SIZE, seed: int = 7331, cells: int = 16
    ) -> None:
        self.looks = looks or LOOKS
        self.size, self.seed, self.cells = size, seed, cells

    @cached_property
    def _templates(self) -> Tensor:
        """Coarse empty pictures of every place in every look. Shape: (looks, pictures, 3, cells, cells)."""
        lots = np.random.default_rng(self.seed).random((8, 6))
        empty = [Scene(place, (), variety=tuple(lot)) for place in PAINTERS for lot in lots]
        drawn = draw(plan(empty, 1), self.size)
        looks = [look(drawn.frames, drawn.cover)[:, 0].clamp(0, 1) for look in self.looks.values()]
        return torch.stack([self._coarse(pictures) for pictures in looks])

    def _coarse(self, pictures: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(pictures.permute(0, 3, 1, 2), self.cells)

    def look(self, clip: Tensor | NDArray[np.uint8]) -> str:
        """The look whose drawing of some place is nearest, judged where nothing moves."""
        still = _as_float(clip).median(dim=0).values
        far = (self._templates - self._coarse(still[None])).abs().mean(2).flatten(2)
        nearest = far.quantile(0.4, dim=2) + 0.3 * far.mean(2)
        return tuple(self.looks)[int(nearest.amin(1).argmin())]


class BlueprintReader(Reader):
    """Reads clips in the look "blueprint": what moving white lines enclose is the actor."""

    @cached_property
    def _places(self) -> Tensor:
        empty = super()._places
        none = empty.new_zeros(*empty.shape[:2], 1, *empty.shape[2:4])
        return torch.stack(
            [_blueprint(p[:, None], c[:, None])[:, 0] for p, c in zip(empty, none, strict=True)]
        )

    def foreground(self, clip: Tensor, background: str) -> Tensor:  # noqa: ARG002
        """What white lines that do not stay enclose, also where they are broken. Shape: (T, H, W, 3) -> (T, H, W)."""
        lines = clip[..., 0] > _WHITE
        still = F.max_pool2d(lines.float().median(0).values[None, None], 3, 1, 1)[0, 0] > 0
        return torch.stack([_enclosed(frame) for frame in lines & ~still])


def _enclosed(lines: Tensor) -> Tensor:
    """The hull of all lines of a picture but specks: of an outline with gaps it is that of the whole one."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(lines.to(torch.uint8).numpy())
    large = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= _SPECK)
    points = np.argwhere(np.isin(parts, large[large > 0]))[:, ::-1].astype(np.int32)
    canvas = np.zeros(lines.shape, np.uint8)
    if len(points):
        cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
    return torch.from_numpy(canvas).float()


def _as_float(clip: Tensor | NDArray[np.uint8]) -> Tensor:
    frames = torch.as_tensor(clip)
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()
