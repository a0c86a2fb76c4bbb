"""Finding borders in frames by measuring them: what a padded generation left inside its crop, and black bars.

All of it looks at rows; the left and right sides are looked at after turning the frames.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitascope.media.geometry import Box, Fill

if TYPE_CHECKING:
    from vitascope.clip import Clip, Pixels

SAMPLED_FRAMES = 64
# Fractions of the visible content in a row, 0 a pure border, 1 as rich as the rows further in.
PURE_BORDER, DIMMED = 0.15, 0.8
# A dimmed row counts if it is this much dimmer than the same row of the picture that was padded.
DIMMER_THAN_SOURCE = 0.12
SOFT_ROWS, REFERENCE_ROWS = 4, 4
DEEPEST_SHARE = 0.06  # of the box's rows
RICHER_THAN_BLUR = 1.5
# Frames that show a border at some depth, out of all, before it is believed.
BELIEVED_SHARE = 0.1
VISIBLE_STEP, VISIBLE_SHARE = 24.0, 0.1
BLACK, BLACK_SPREAD = 28, 12
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Sides:
    """A number of pixels for each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))


NOTHING = Sides()
Profiles = dict[str, list[float]]  # by the name of a side


def sampled(clip: Clip) -> Pixels:
    """At most 64 frames spread evenly over the clip. Shape: (n, H, W, 3)."""
    count = min(clip.num_frames, SAMPLED_FRAMES)
    numbers = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
    return np.stack([clip.frames[int(number) : int(number) + 1][0] for number in numbers])


def edge_profiles(padded: Pixels, box: Box, fill: Fill) -> Profiles:
    """How much content the rows inside each border have in the picture that was padded.

    A side is left out where it has no border, where its border cannot be seen (mirrored ones continue the
    content), or where the picture itself is as dark or as plain as its border.
    Shape: padded (H, W, 3); each profile a list of fractions from the border inwards.
    """
    profiles: Profiles = {}
    if fill == "mirror":
        return profiles
    for side in _sides(box, padded.shape[1], padded.shape[0]):
        if side.border and side.has_room:
            content = _content(side.turned(padded[None]), side, fill)[0]
            if not np.isnan(content).any() and content[0] >= PURE_BORDER:
                profiles[side.name] = [round(float(share), 2) for share in content]
    return profiles


def remaining_border(
    frames: Pixels, box: Box, own: Profiles, fill: Fill, cut: Sides = NOTHING, scale: float = 1.0
) -> Sides:
    """How far the border around `box` reaches into it, on each side that `own` knows.

    `own` are the profiles of the padded picture, `cut` what was already taken off each side of it since, and
    `scale` how much larger the frames are. A border may be pure, or mixed into a few rows of content. A frame
    counts only where its border can be told from its content, and a depth only if a tenth of the frames
    reach it.

    Shape: frames (n, H, W, 3).
    """
    depths = {}
    for side in _sides(box, frames.shape[2], frames.shape[1]):
        if side.name in own and side.border and side.has_room:
            profile = np.array(own[side.name], np.float32)
            rows = (np.arange(side.depth) + getattr(cut, side.name)) / scale
            expected = profile[np.minimum(rows.astype(int), len(profile) - 1)]
            content = _content(side.turned(frames), side, fill)
            depths[side.name] = _believed([_depth(rows, expected, side.limit) for rows in content])
    return Sides(**depths)


def black_bars(frames: Pixels) -> Sides:
    """How many rows and columns at each side are black in all frames; frames without any content say nothing."""
    luma = _luma(frames)
    shown = luma[luma.max(axis=(1, 2)) > BLACK + BLACK_SPREAD]
    if not len(shown):
        return Sides()
    brightest = np.percentile(shown, 99, axis=0) if len(shown) > 100 else shown.max(axis=0)
    rows = np.flatnonzero(np.percentile(brightest, 99, axis=1) > BLACK)
    columns = np.flatnonzero(np.percentile(brightest, 99, axis=0) > BLACK)
    if not len(rows) or not len(columns):
        return Sides()
    height, width = brightest.shape
    return Sides(int(columns[0]), int(rows[0]), int(width - 1 - columns[-1]), int(height - 1 - rows[-1]))


@dataclass(frozen=True)
class _Side:
    """One side of a box, to be looked at after `turns` quarter turns have brought it to the top.

    `border` rows lie outside the box there, `rows` inside.
    """

    name: str
    turns: int
    border: int
    rows: int

    def turned(self, frames: Pixels) -> Pixels:
        return np.rot90(frames, self.turns, axes=(1, 2))

    @property
    def limit(self) -> int:
        """The deepest border that is taken for one; what is dark further in is content."""
        return max(SOFT_ROWS, round(DEEPEST_SHARE * self.rows))

    @property
    def depth(self) -> int:
        """How many rows are looked at."""
        return self.limit + SOFT_ROWS + REFERENCE_ROWS

    @property
    def has_room(self) -> bool:
        return self.rows >= self.depth + REFERENCE_ROWS + self.limit


def _sides(box: Box, width: int, height: int) -> tuple[_Side, ...]:
    left, top, right, bottom = int(box.left), int(box.top), int(box.right), int(box.bottom)
    return (
        _Side("left", -1, left, right - left),
        _Side("top", 0, top, bottom - top),
        _Side("right", 1, width - right, right - left),
        _Side("bottom", 2, height - bottom, bottom - top),
    )


def _believed(depths: list[int | None]) -> int:
    told = sorted((depth for depth in depths if depth is not None), reverse=True)
    return told[max(1, round(BELIEVED_SHARE * len(told))) - 1] if told else 0


def _depth(content: NDArray[np.float32], own: NDArray[np.float32], limit: int) -> int | None:
    """How many rows are border in one frame; None if the frame cannot tell."""
    if np.isnan(content).any():
        return None
    rich = np.flatnonzero(content >= PURE_BORDER)
    if not len(rich) or rich[0] > limit:
        return None  # dark or plain far beyond any border: content
    pure = int(rich[0])
    reference = max(float(content[pure + SOFT_ROWS :][:REFERENCE_ROWS].mean()), 1e-3)
    own_reference = max(float(own[pure + SOFT_ROWS :][:REFERENCE_ROWS].mean()), 1e-3)
    for soft in range(SOFT_ROWS):
        share, expected = content[pure + soft] / reference, own[pure + soft] / own_reference
        if share > DIMMED or expected - share < DIMMER_THAN_SOURCE:
            return pure + soft
    return pure + SOFT_ROWS


def _content(frames: Pixels, side: _Side, fill: Fill) -> NDArray[np.float32]:
    """How much content each row has, against rows further in; nan where border and content look alike.

    Shape: frames (n, H, W, 3) with the side on top; (n, side.depth).
    """
    strip = _luma(frames[:, side.border : side.border + side.depth + REFERENCE_ROWS])
    border = _luma(frames[:, : max(1, (side.border + 1) // 2)])
    if fill == "blur":
        strip, border = _detail(strip), _detail(border)
    reference = strip[:, side.depth :].mean(axis=1)
    content = np.full((len(frames), side.depth), np.nan, np.float32)
    for number in range(len(frames)):
        level = float(np.median(border[number]))
        step = reference[number] - level
        visible = step > (VISIBLE_STEP if fill == "black" else RICHER_THAN_BLUR * level + 1)
        is_even = np.percentile(border[number], 90) - level < VISIBLE_STEP
        if visible.mean() >= VISIBLE_SHARE and (is_even or fill == "blur"):
            relative = (strip[number, : side.depth, visible] - level) / step[visible][:, None]
            content[number] = np.median(relative, axis=0)
    return content


def _luma(frames: Pixels) -> NDArray[np.float32]:
    return frames.astype(np.float32) @ LUMA


def _detail(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much neighbouring pixels of a row differ, averaged along the row so that every column can be compared."""
    steps = np.abs(np.diff(luma, axis=-1))
    return np.repeat(steps.mean(axis=-1, keepdims=True), 8, axis=-1)
