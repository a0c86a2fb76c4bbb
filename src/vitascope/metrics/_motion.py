"""Optical flow between frames, and what it says: how far things move, and what does not follow them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Pixels
from vitascope.flow.dis import optical_flow, warp_by_flow

Flow = NDArray[Any]  # float32
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Motion:
    """What the flow between neighbouring frames says. Shape: (T - 1,) each. Units: working pixels.

    `fastest` is the mean size of the flow over its fastest 5 percent of pixels, `mean` over all;
    `warp_error` the mean squared difference (levels 0..1, a channel) between each frame and the next one
    brought back onto it, over the pixels visible in both; NaN where none is.
    """

    fastest: NDArray[np.float64]
    mean: NDArray[np.float64]
    warp_error: NDArray[np.float64]


def flow_size(flow: Flow) -> NDArray[Any]:
    """Length of the flow at each pixel. Shape: (h, w)."""
    return cv2.magnitude(flow[..., 0], flow[..., 1])


def fastest_mean(flow: Flow, share: float = 0.05) -> float:
    """Mean length over the fastest `share` of pixels.

    Source: VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/dynamic_degree.py, Apache-2.0.
    """
    lengths = flow_size(flow).ravel()
    count = max(1, int(lengths.size * share))
    return float(np.partition(lengths, lengths.size - count)[-count:].mean())


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def visible_in_both(forward: Flow, backward: Flow) -> NDArray[np.bool_]:
    """Pixels of the first frame that the second still shows: flow there and back agrees, no motion boundary.

    Source: Sundaram et al. 2010 as used by Ruder et al., Artistic Style Transfer for Videos, 2016, equations
    5 and 6, and by Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018.
    """
    height, width = forward.shape[:2]
    x, y = _grid(height, width)
    target_x, target_y = x + forward[..., 0], y + forward[..., 1]
    inside = (target_x >= 0) & (target_x <= width - 1) & (target_y >= 0) & (target_y <= height - 1)
    back = warp_by_flow(backward, forward)
    length = _squared(forward)
    occluded = _squared(forward + back) > 0.01 * (length + _squared(back)) + 0.5
    slope = sum(_squared(0.5 * cv2.Sobel(forward, cv2.CV_32F, *axis, ksize=1)) for axis in ((1, 0), (0, 1)))
    boundary = slope > 0.01 * length + 0.002
    return inside & ~occluded & ~boundary


def _squared(flow: Flow) -> NDArray[np.float32]:
    return np.einsum("hwc,hwc->hw", flow, flow)


def warp_error(first: Pixels, second: Pixels, forward: Flow, backward: Flow) -> float:
    """Mean squared difference between `first` and `second` brought back onto it, where both are visible.

    Range: 0..1, a channel; NaN if no pixel is visible in both.
    Source: Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018, equation 12.
    """
    visible = visible_in_both(forward, backward)
    if not visible.any():
        return float("nan")
    brought_back = warp_by_flow(second.astype(np.float32), forward)
    difference = cv2.subtract(brought_back, first, dtype=cv2.CV_32F)[visible] / 255
    return float(np.square(difference).mean())


def measure_motion(frames: Pixels) -> Motion:
    """Flow from each frame to the next and back, reduced to what metrics use. Shape: (T, h, w, 3)."""
    lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]

    def one(index: int) -> tuple[float, float, float]:
        forward = optical_flow(lumas[index], lumas[index + 1])
        backward = optical_flow(lumas[index + 1], lumas[index])
        error = warp_error(frames[index], frames[index + 1], forward, backward)
        return fastest_mean(forward), float(flow_size(forward).mean()), error

    return Motion(*np.array(in_threads(one, len(frames) - 1)).T)


def in_threads(work: Callable[[int], T], count: int) -> list[T]:
    """`work(0) ... work(count - 1)`, a few at a time; OpenCV lets go of the interpreter meanwhile."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, range(count)))


def fastest_motion(frames: Pixels) -> NDArray[np.float64]:
    """`Motion.fastest` alone, from flow in one direction. Shape: (T, h, w, 3) to (T - 1,)."""
    lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]

    def one(index: int) -> float:
        return fastest_mean(optical_flow(lumas[index], lumas[index + 1]))

    return np.array(in_threads(one, len(frames) - 1))
