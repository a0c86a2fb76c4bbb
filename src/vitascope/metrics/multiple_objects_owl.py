"""Whether the things that were asked for are all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vitascope.metrics._detection import DetectionMetric, Found, benchmark_rule, named


class MultipleObjectsOwl(DetectionMetric):
    """The share of frames that show every thing of `objects`, such as "bird and cat"."""

    source: ClassVar[str] = benchmark_rule("multiple_objects")

    objects: str | None = None

    def names(self) -> list[str] | str:
        """The things, one by one."""
        if not self.objects:
            return "no objects were given"
        return [named(thing.strip()) for thing in self.objects.split(" and ")]

    def judge(self, frames: Sequence[Sequence[Found]]) -> float:
        """The share of frames with all of them."""
        wanted = set(self.names())
        return sum(wanted <= {found.name for found in frame} for frame in frames) / len(frames)
