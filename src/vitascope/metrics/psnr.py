"""Difference from a reference, in decibels."""

from __future__ import annotations

from math import log10
from typing import Any, ClassVar, Literal

import cv2

from vitascope.clip import Clip
from vitascope.metrics._paired import paired_frames
from vitascope.metrics.base import Direction, Metric, Score, Tier


class Psnr(Metric):
    """How close a clip is to its reference, pixel by pixel (PSNR).

    "mean" is of the squared error over all frames, as FFmpeg's `average`; "worst" is the worst frame. Equal
    clips have no finite value and are reported as such.
    """

    unit: ClassVar[str] = "dB"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "exact"
    source: ClassVar[str] = (
        "20 log10(255 / RMSE) over the three channels; pooling as the psnr filter of FFmpeg"
    )

    needs_reference: ClassVar[bool] = True

    over_time: Literal["mean", "worst"] = "mean"

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Raises: RequestError without a reference of the same size and length."""
        errors = [
            cv2.norm(ours, theirs, cv2.NORM_L2SQR) / ours.size
            for ours, theirs in paired_frames(clip, reference)
        ]
        error = sum(errors) / len(errors) if self.over_time == "mean" else max(errors)
        if error == 0:
            return self.unmeasured("the clip equals its reference: PSNR has no finite value")
        return self.scored(10 * log10(255**2 / error))
