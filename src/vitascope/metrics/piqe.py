"""Distortion of blocks, judged without any model."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Pixels
from vitascope.metrics._sampled import SampledFramesMetric
from vitascope.metrics.base import Direction, Tier

BLOCK, SEGMENT = 16, 6
ACTIVE, IMPAIRED = 0.1, 0.1
Values = NDArray[Any]  # float


class Piqe(SampledFramesMetric):
    """How distorted the lively blocks of the frames are (PIQE): 0 to 100, less is better.

    Flat frames have no lively block and count as 100.
    """

    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 100.0)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = (
        "Venkatanath et al., Blind image quality evaluation using perception based features, NCC 2015; "
        "checked against pypiqe 1.2 (MIT), a port of MATLAB's piqe"
    )

    def measure(self, frame: Pixels, parameters: Any) -> float:  # noqa: ARG002
        """The score of one frame."""
        return piqe_of(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))


def piqe_of(luma: NDArray[Any]) -> float:
    """The score of one picture. Shape: (H, W) uint8."""
    blocks = _blocks(_normalised(luma))
    variance = blocks.var(axis=(1, 2), ddof=1)
    active = variance > ACTIVE
    blocks, variance = blocks[active], variance[active]
    impaired, noisy = _has_flat_segment(blocks), _is_noisy(blocks, variance)
    distortion = (impaired * (1 - variance) + noisy * variance).sum()
    return float(100 * (distortion + 1) / (len(blocks) + 1))


def _normalised(luma: NDArray[Any]) -> Values:
    pad = [(0, -size % BLOCK) for size in luma.shape]
    levels = np.pad(luma, pad, mode="symmetric").astype(np.float64)
    levels = np.round(255 * levels / max(levels.max(), 1))
    mean, square = _blur(levels), _blur(levels * levels)
    deviation = np.sqrt(np.abs(square - mean * mean))
    return (levels - mean) / (deviation + 1)


def _blur(levels: Values) -> Values:
    return cv2.GaussianBlur(levels, (7, 7), sigmaX=7 / 6, borderType=cv2.BORDER_REPLICATE)


def _blocks(picture: Values) -> Values:
    rows, columns = (size // BLOCK for size in picture.shape)
    return picture.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _has_flat_segment(blocks: Values) -> NDArray[np.bool_]:
    """Whether six pixels running along any edge of a block hardly differ."""
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, SEGMENT, axis=2)
    return (segments.std(axis=3, ddof=1) < IMPAIRED).any(axis=(1, 2))


def _is_noisy(blocks: Values, variance: Values) -> NDArray[np.bool_]:
    """Whether a block's middle columns vary as the rest does.

    The reference removes the eighth column and then, the count having moved on, the tenth instead of the
    ninth. It is followed here.
    """
    deviation = np.sqrt(variance)
    middle = blocks[:, :, [BLOCK // 2 - 1, BLOCK // 2]]
    around = np.delete(blocks, [BLOCK // 2 - 1, BLOCK // 2 + 1], axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = middle.std(axis=(1, 2), ddof=1) / around.std(axis=(1, 2), ddof=1)
        ratio = np.nan_to_num(ratio, nan=0.0)
        beta = np.abs(deviation - ratio) / np.maximum(deviation, ratio)
    return deviation > 2 * beta
