"""Flicker of clips that stand still, without weights."""

from __future__ import annotations

from typing import ClassVar

from vitascope.flow.dis import optical_flow
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._motion import fastest_mean, in_threads
from vitascope.metrics._raft import stands_still
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class TemporalFlickeringStaticDis(SingleClipMetric):
    """How little neighbouring frames differ, measured only where the clip stands still to DIS flow.

    A clip that moves is not measured: motion would count as flicker.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, static_filter.py and "
        "vbench/temporal_flickering.py, Apache-2.0; flow by OpenCV DIS on frames of a shorter side of 256 instead "
        "of RAFT"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """One minus the mean absolute difference over 255, of a clip that passes the filter."""
        import cv2

        frames = clip.working_frames
        lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        last = len(lumas) - 1
        pairs = [*((n, n + 1) for n in range(last)), (0, last), (last, 0)]

        def speed(number: int) -> float:
            first, second = pairs[number]
            return fastest_mean(optical_flow(lumas[first], lumas[second]), 0.02)

        *between, there, back = in_threads(speed, len(pairs))
        if not stands_still(between, (there, back), len(frames), min(frames.shape[1:3])):
            return "the clip moves, and motion would count as flicker"
        return float(1 - clip.pair_statistics.difference.mean() / 255)
