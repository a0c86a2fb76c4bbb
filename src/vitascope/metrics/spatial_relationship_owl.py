"""Whether two things stand to each other as was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vitascope.metrics._detection import DetectionMetric, Found, benchmark_rule, named

MAX_OVERLAP = 0.1
Relation = Literal["on the left of", "on the right of", "on the top of", "on the bottom of"]


class SpatialRelationshipOwl(DetectionMetric):
    """How well `object_a` stands `relation` `object_b`, the mean over frames.

    As in the benchmark only the axis counts, not which of both is first along it, and two of one kind count too.
    """

    source: ClassVar[str] = benchmark_rule("spatial_relationship")

    object_a: str | None = None
    object_b: str | None = None
    relation: Relation | None = None

    def names(self) -> list[str] | str:
        """Both things to look for."""
        if not self.object_a or not self.object_b or not self.relation:
            return "no two objects and relation were given"
        return [named(self.object_a), named(self.object_b)]

    def judge(self, frames: Sequence[Sequence[Found]]) -> float:
        """The best pair of each frame; none counts as 0, as in the benchmark."""
        sideways = self.relation in ("on the left of", "on the right of")
        best = [
            max((placed(a.box, b.box, sideways) for a, b in combinations(frame, 2)), default=0.0)
            for frame in frames
        ]
        return float(np.mean(best))


def placed(first: NDArray[np.float64], second: NDArray[np.float64], sideways: bool) -> float:
    """1 if two boxes stand apart along an axis, less if they overlap, 0 if they stand along the other.

    Source: Vchitect/VBench 45e79ec, vbench/spatial_relationship.py, get_position_score.
    """
    x, y = np.abs((first[:2] + first[2:]) / 2 - (second[:2] + second[2:]) / 2)
    along, across = (x, y) if sideways else (y, x)
    if along <= across:
        return 0.0
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    whole = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared)
    overlap = shared / whole if whole > 0 else 0.0
    return 1.0 if overlap < MAX_OVERLAP else MAX_OVERLAP / overlap
