"""Whether a clip moves, as the benchmark measures it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from vitascope.clip import Clip
from vitascope.metrics._raft import RaftMetric, fastest
from vitascope.metrics.base import Direction


class DynamicDegree(RaftMetric):
    """1 if the clip moves much, 0 if not, by RAFT; over many clips the share that moves.

    A clip of two sampled frames always counts as moving: the benchmark's count rounds to none.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "neither"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/dynamic_degree.py, Apache-2.0; RAFT "
        "(Teed and Deng, ECCV 2020), 20 iterations, own reading equal to princeton-vl/RAFT"
    )

    def measure(self, clip: Clip, network: Any) -> float | str:
        """Sampled to 8 frames a second."""
        interval = max(1, round(float(clip.fps) / 8))
        frames = [clip.frames[at : at + 1][0] for at in range(0, clip.num_frames, interval)]
        if len(frames) < 2:
            return f"{clip.num_frames} frames hold no two that are 1/8 s apart"
        threshold, needed = 6.0 * min(clip.height, clip.width) / 256, round(4 * len(frames) / 16)
        moving = 0
        for speed in fastest(pairwise(frames), network, 0.05):
            moving += speed > threshold
            if moving >= needed:
                return 1.0
        return 0.0
