"""Structural similarity to a reference."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Clip, Pixels
from vitascope.errors import RequestError
from vitascope.metrics._paired import paired_frames
from vitascope.metrics.base import Direction, Metric, Score, Tier

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class Ssim(Metric):
    """How alike the structure of a clip and its reference is (SSIM): 1 for equal clips."""

    unit: ClassVar[str] = "similarity"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = (
        "Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP "
        "2004: 11 x 11 Gaussian of 1.5, K1 0.01, K2 0.03, range 255, borders left out; mean over the three "
        "channels"
    )

    needs_reference: ClassVar[bool] = True

    over_time: Literal["mean", "worst"] = "mean"

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Raises: RequestError without a reference of the same size and length, or under 11 x 11 pixels."""
        if min(clip.height, clip.width) < WINDOW:
            raise RequestError(
                f"SSIM needs frames of {WINDOW} x {WINDOW} or more, not {clip.width} x {clip.height}"
            )
        values = [ssim_of(ours, theirs) for ours, theirs in paired_frames(clip, reference)]
        return self.scored(sum(values) / len(values) if self.over_time == "mean" else min(values))


def ssim_of(first: Pixels, second: Pixels) -> float:
    """SSIM of two pictures. Shape: (H, W, 3) uint8."""
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    edge = WINDOW // 2
    return float((luminance * structure)[edge:-edge, edge:-edge].mean(dtype=np.float64))


def _blur(picture: NDArray[Any]) -> NDArray[Any]:
    return cv2.GaussianBlur(picture, (WINDOW, WINDOW), SIGMA)
