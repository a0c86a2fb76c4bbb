"""What motion does not explain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier


class WarpErrorDis(SingleClipMetric):
    """How much each frame differs from the next one brought back onto it along the motion, where both see it.

    Flicker, morphing and noise raise it, clean motion does not. The published metric takes its flow from a
    trained network; this one from DIS on frames of a shorter side of 256, so its values are its own.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "squared levels, 0..1"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018, section 4.1; flow by OpenCV DIS "
        "(Kroeger et al., ECCV 2016) instead of FlowNet 2"
    )

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over pairs of neighbours."""
        errors = clip.motion.warp_error
        if np.isnan(errors).all():
            return "no pixel is visible in two frames running: the flow finds no common picture"
        return float(np.nanmean(errors))
