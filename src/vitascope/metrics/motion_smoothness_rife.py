"""Smoothness of motion, by a network that interpolates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.metrics.base import Direction, Metric, Score, Tier


class MotionSmoothnessRife(Metric):
    """How well RIFE tells every other frame from its neighbours: 1 if each lies exactly between them.

    A still clip is perfectly smooth: read it beside the dynamic degree.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/motion_smoothness.py, Apache-2.0: its "
        "rule, on frames as they are; frames between by RIFE (Huang et al., ECCV 2022, MIT) instead of AMT-S"
    )

    def load(self, placement: Placement) -> Any:
        """RIFE. Raises: DependencyMissing, WeightsMissing."""
        from vitascope.flow.rife import RIFEInterpolator, load_rife

        return RIFEInterpolator(load_rife(placement.resolve().device))

    def modules_key(self) -> Any:
        """One key for every record: they all share RIFE."""
        return "rife"

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: RequestError under three frames."""
        if clip.num_frames < 3:
            raise RequestError(f"{self.name} needs three frames or more, not {clip.num_frames}")
        interpolator = self.load(Placement()) if modules is None else modules
        errors = []
        for start in range(0, clip.num_frames - 2, 2):
            first, middle, last = clip.frames[start : start + 3]
            between = interpolator.between(first, last, [0.5])[0]
            errors.append(np.abs(between.astype(np.int16) - middle).mean())
        return self.scored(float(1 - np.mean(errors) / 255))
