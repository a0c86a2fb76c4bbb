"""Finds people: YOLOX's boxes from the raw output of its network.

Source: Ge et al., "YOLOX", arXiv 2107.08430; preparation and thresholds as in IDEA-Research/DWPose,
ControlNet-v1-1-nightly/annotator/dwpose/onnxdet.py, Apache-2.0.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Pixels

SIDE = 640
STRIDES = (8, 16, 32)
NUM_CANDIDATES = sum((SIDE // stride) ** 2 for stride in STRIDES)
PERSON = 0  # of COCO's 80 classes
_GREY = 114
_OVERLAP, _LEAST, _SURE = 0.45, 0.1, 0.3
Floats = NDArray[np.floating]


def letterboxed(picture: Pixels) -> tuple[Floats, float]:
    """The network's input and the scale that it was brought to: top left, the rest grey.

    Shape: H W 3 to 1 3 640 640. Range: 0..255.
    """
    height, width = picture.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    canvas = np.full((SIDE, SIDE, 3), _GREY, np.uint8)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    canvas[:high, :wide] = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32), scale


def people_in(output: Floats, scale: float) -> Floats:
    """The boxes of people in what the network answered, the surest first.

    Shape: output N 85 (centre, logarithm of size, objectness, 80 classes); boxes M 4 (left, top, right, bottom).
    Units: pixels of the picture.
    """
    cells = [np.mgrid[: SIDE // s, : SIDE // s][::-1].reshape(2, -1).T for s in STRIDES]
    grid = np.concatenate(cells)
    stride = np.concatenate([np.full((len(cell), 1), s) for cell, s in zip(cells, STRIDES, strict=True)])
    centre, size = (
        part.astype(np.float32) for part in ((output[:, :2] + grid) * stride, np.exp(output[:, 2:4]) * stride)
    )
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1) / scale
    scores = output[:, 4] * output[:, 5 + PERSON]
    likely = scores > _LEAST
    kept = _without_doubles(boxes[likely], scores[likely])
    sure = scores[likely][kept] > _SURE
    return np.asarray(boxes[likely][kept][sure], np.float32)


def _without_doubles(boxes: Floats, scores: Floats) -> list[int]:
    """Which boxes stay when each drops those that lie mostly on it; sides count their last pixel."""
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    order, kept = scores.argsort()[::-1], []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        wide = np.maximum(0, np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1)
        high = np.maximum(0, np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1)
        shared = wide * high
        order = rest[shared / (areas[best] + areas[rest] - shared) <= _OVERLAP]
    return kept
