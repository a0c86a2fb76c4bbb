"""Smoothness of motion."""

from __future__ import annotations

from typing import ClassVar

import cv2

from vitascope.flow.dis import DISInterpolator
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._motion import in_threads
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class MotionSmoothnessDis(SingleClipMetric):
    """How well every other frame can be told from its neighbours: 1 if it lies exactly between them.

    A still clip is perfectly smooth: read it beside the dynamic degree.
    """

    min_frames: ClassVar[int] = 3
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/motion_smoothness.py, Apache-2.0: "
        "its rule; frames between by DIS flow (OpenCV) at a shorter side of 256 instead of AMT-S"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over the odd frames."""
        frames, interpolator = clip.working_frames, DISInterpolator()

        def error(index: int) -> float:
            between = interpolator.between(frames[2 * index], frames[2 * index + 2], [0.5])[0]
            return cv2.norm(between, frames[2 * index + 1], cv2.NORM_L1) / between.size

        errors = in_threads(error, (len(frames) - 1) // 2)
        return float(1 - sum(errors) / len(errors) / 255)
