"""Brings the picture to the clip's size as MimicMotion does: covered, then cut evenly."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from vitascope.models.mimicmotion.keypoints import FramePose

Pixels = NDArray[np.uint8]
SHORT_SIDE, GRID = 576, 64


def native_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a clip from a picture: 576x1024 for an upright one, 1024x576 for any other.

    Source: Tencent/MimicMotion at 62f91e1, inference.py, `preprocess`.
    """
    long_side = int(SHORT_SIDE / (9 / 16) // GRID) * GRID
    return (SHORT_SIDE, long_side) if height > width else (long_side, SHORT_SIDE)


def covering_size(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int]:
    """The size, of the picture's own shape, that just covers the wanted one; divided as upstream does."""
    shape = height / width
    if shape < to_height / to_width:
        return math.ceil(to_height / shape), to_height
    return to_width, math.ceil(to_width * shape)


def _cut(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int]:
    return round((width - to_width) / 2), round((height - to_height) / 2)


def covered(picture: Pixels, to_width: int, to_height: int) -> Pixels:
    """The picture scaled (bilinear, not smoothed first) until it covers the size, the rest cut off evenly.

    Shape: H W 3 to to_height to_width 3.
    """
    height, width = picture.shape[:2]
    wide, high = covering_size(width, height, to_width, to_height)
    left, top = _cut(wide, high, to_width, to_height)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(pixels, (high, wide), mode="bilinear", align_corners=False)
    cut = scaled.round()[0, :, top : top + to_height, left : left + to_width]
    return cut.to(torch.uint8).permute(1, 2, 0).numpy()


def covered_pose(pose: FramePose, width: int, height: int, to_width: int, to_height: int) -> FramePose:
    """A pose of the whole picture, in fractions of what `covered` leaves of it."""
    wide, high = covering_size(width, height, to_width, to_height)
    left, top = _cut(wide, high, to_width, to_height)
    size = np.array([to_width, to_height], np.float64)
    return pose.moved(np.array([wide, high]) / size, -np.array([left, top]) / size)
