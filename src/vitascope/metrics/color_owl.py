"""Whether a thing has the colour that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vitascope.metrics._detection import DetectionMetric, Found, benchmark_rule, named

COLOURS = ("white", "red", "pink", "blue", "silver", "purple", "orange", "green", "gray", "yellow", "black")


class ColorOwl(DetectionMetric):
    """Among frames that show `colour_of` in any colour, the share that show it in `colour`.

    Which colour a thing has is which of "a red car", "a blue car" and so on it is most like; the benchmark reads
    it from a caption.
    """

    source: ClassVar[str] = benchmark_rule("color")

    colour: str | None = None
    colour_of: str | None = None

    def names(self) -> list[str] | str:
        """The thing in every colour."""
        if not self.colour or not self.colour_of:
            return "no colour and no object were given"
        colours = dict.fromkeys((*COLOURS, self._wanted))
        return [named(f"{colour} {self.colour_of}") for colour in colours]

    @property
    def _wanted(self) -> str:
        return "gray" if self.colour == "grey" else str(self.colour)

    def judge(self, frames: Sequence[Sequence[Found]]) -> float | str:
        """Share of frames whose surest thing has the colour."""
        best = [frame[0].name for frame in frames if frame]
        if not best:
            return f"no frame shows {self.colour_of!r}: the benchmark leaves such clips out"
        return best.count(named(f"{self._wanted} {self.colour_of}")) / len(best)
