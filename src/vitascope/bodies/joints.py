"""Finds a person's joints: what RTMPose's networks are shown, and how their answer is read.

Source: Jiang et al., "RTMPose", arXiv 2303.07399, whose classification of coordinates is SimCC (arXiv 2107.03332);
preparation as in IDEA-Research/DWPose, ControlNet-v1-1-nightly/annotator/dwpose/onnxpose.py, Apache-2.0.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Pixels

WIDTH, HEIGHT = 288, 384
NUM_JOINTS = 133
_PADDING = 1.25
_SPLIT = 2  # places of SimCC a pixel
_MEAN = np.array([123.675, 116.28, 103.53])
_DEVIATION = np.array([58.395, 57.12, 57.375])
Floats = NDArray[np.floating]


def crop_of(box: Floats) -> tuple[Floats, Floats]:
    """Centre and size of what the network looks at: the box with a quarter around it, in the network's shape."""
    left_top, right_bottom = box.astype(np.float64).reshape(2, 2)
    width, height = (right_bottom - left_top) * _PADDING
    shape = WIDTH / HEIGHT
    size = (width, width / shape) if width > height * shape else (height * shape, height)
    return (left_top + right_bottom) / 2, np.array(size)


def shown(picture: Pixels, centre: Floats, size: Floats) -> Floats:
    """The network's input. Shape: H W 3 to 1 3 384 288."""
    to_crop = cv2.getAffineTransform(
        _corners(centre, size[0]), _corners(np.array([WIDTH, HEIGHT]) / 2, WIDTH)
    )
    crop = cv2.warpAffine(picture, to_crop, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(((crop - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None], np.float32)


def _corners(centre: Floats, width: float) -> NDArray[np.float32]:
    """Three points that say where a crop of this width lies; a triangle, as upstream takes it."""
    half = width / 2
    return np.array([centre, centre - (0, half), centre - (half, half)], np.float32)


def joints_in(simcc_x: Floats, simcc_y: Floats, centre: Floats, size: Floats) -> NDArray[np.float64]:
    """The joints in what the network answered for one crop, with their scores.

    Shape: simcc_x 133 576 and simcc_y 133 768 to 133 3. Units: pixels of the picture.
    """
    places = np.stack([simcc_x.argmax(axis=1), simcc_y.argmax(axis=1)], axis=1).astype(np.float64)
    scores = np.minimum(simcc_x.max(axis=1), simcc_y.max(axis=1)).astype(np.float64)
    places[scores <= 0] = -1
    joints = places / _SPLIT / (WIDTH, HEIGHT) * size + centre - size / 2
    return np.concatenate([joints, scores[:, None]], axis=1)
