"""Whether a clip moves."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._motion import fastest_motion
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier

SAMPLED_FPS = 8
THRESHOLD = 6.0  # pixels a pair, for a shorter side of 256


class DynamicDegreeDis(SingleClipMetric):
    """1 if the clip moves much, 0 if not; over many clips the share that moves.

    Show it beside every smoothness or consistency figure: those reward a still clip. A clip of two sampled
    frames needs one moving pair here, where the benchmark calls it dynamic without looking.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "neither"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/dynamic_degree.py, Apache-2.0: "
        "its sampling, threshold and count; flow by OpenCV DIS on frames of a shorter side of 256 instead "
        "of RAFT"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Sampled to 8 frames a second. A clip too short for two sampled frames is not measured."""
        interval = max(1, round(float(clip.fps) / SAMPLED_FPS))
        if clip.num_frames <= interval:
            return f"{clip.num_frames} frames hold no two that are 1/8 s apart"
        sampled = clip.working_frames[::interval]
        fastest = clip.motion.fastest if interval == 1 else fastest_motion(sampled)
        side = min(clip.working_frames.shape[1:3])
        needed = max(1, round(4 * (fastest.size + 1) / 16))
        return float((fastest > THRESHOLD * side / 256).sum() >= needed)
