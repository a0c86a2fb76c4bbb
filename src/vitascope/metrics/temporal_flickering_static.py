"""Flicker of clips that stand still, as the benchmark counts them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from vitascope.clip import Clip
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._raft import RaftMetric, fastest, stands_still
from vitascope.metrics.base import Direction


class TemporalFlickeringStatic(RaftMetric):
    """How little neighbouring frames differ, measured only where RAFT finds that the clip stands still.

    This is the benchmark's dimension whole; `temporal-flickering` is the same without its filter.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, static_filter.py and "
        "vbench/temporal_flickering.py, Apache-2.0; RAFT (Teed and Deng, ECCV 2020), 20 iterations"
    )

    def measure(self, clip: Clip, network: Any) -> float | str:
        """One minus the mean absolute difference over 255, of a clip that passes the filter."""
        frames = clip.array()
        between = list(fastest(pairwise(frames), network, 0.02))
        ends = [(frames[0], frames[-1]), (frames[-1], frames[0])]
        there, back = fastest(ends, network, 0.02)
        if not stands_still(between, (there, back), len(frames), min(frames.shape[1:3])):
            return "the clip moves, and the benchmark leaves it out"
        return float(1 - AnalysedClip.of(clip).pair_statistics.difference.mean() / 255)
