"""Whether the thing that was asked for is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vitascope.metrics._detection import DetectionMetric, Found, benchmark_rule, named


class ObjectClassOwl(DetectionMetric):
    """The share of frames that show the thing `object_class`, such as "person"."""

    source: ClassVar[str] = benchmark_rule("object_class")

    object_class: str | None = None

    def names(self) -> list[str] | str:
        """The thing to look for."""
        return [named(self.object_class)] if self.object_class else "no object was given"

    def judge(self, frames: Sequence[Sequence[Found]]) -> float:
        """The share of frames with it."""
        return sum(bool(frame) for frame in frames) / len(frames)
