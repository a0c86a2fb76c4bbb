"""Play a clip at another frame rate: which output frame lies between which frames, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vitascope.flow.likeness import relation

Pixels = NDArray[np.uint8]
Duplicates = Literal["hold", "smooth"]

LONGEST_SMOOTHED_RUN = 3


class Interpolator(Protocol):
    """Anything that can tell what lies between two frames."""

    def between(self, first: Pixels, second: Pixels, times: Sequence[float]) -> list[Pixels]:
        """The frames at rising `times` after `first`, in units of the distance to `second`. Range: (0, 1)."""
        ...


def num_retimed_frames(num_frames: int, source_fps: Fraction, target_fps: Fraction) -> int:
    """How many frames a clip has at another rate.

    Nothing is made up after the last frame: 17 frames at 8 fps are 65 at 32 fps.
    """
    return int((num_frames - 1) * target_fps / source_fps) + 1


@dataclass(frozen=True)
class Retiming:
    """How to play frames of `source_fps` at `target_fps`.

    Output frames that fall on a source frame are that frame, untouched. Between two scenes the nearer frame
    is shown and nothing is blended (`hold_cuts`). Repeated frames stay as long as they were ("hold"), or, if
    a slower animation was filled up with copies, runs of up to three copies are dropped and the motion goes
    evenly over the gap ("smooth").
    """

    source_fps: Fraction
    target_fps: Fraction
    hold_cuts: bool = True
    duplicates: Duplicates = "hold"

    def play(self, frames: Iterable[Pixels], interpolator: Interpolator) -> Iterator[Pixels]:
        """The frames at the target rate, one by one; never more than two source frames are held."""
        frames = iter(frames)
        opening = next(frames, None)
        if opening is None:
            return
        yield opening
        index = 1
        for span in _spans(opening, frames, smooth=self.duplicates == "smooth"):
            times = []
            while (position := index * self.source_fps / self.target_fps) <= span.end:
                times.append((position - span.start) / (span.end - span.start))
                index += 1
            yield from self._fill(span, times, interpolator)

    def _fill(self, span: _Span, times: list[Fraction], interpolator: Interpolator) -> Iterator[Pixels]:
        within = [float(time) for time in times if time < 1]
        kind = relation(span.first, span.second) if within else "duplicate"
        if kind == "duplicate":
            yield from (span.second if time == 1 else span.first for time in times)
        elif kind == "cut" and self.hold_cuts:
            yield from (span.first if time <= Fraction(1, 2) else span.second for time in times)
        else:
            yield from interpolator.between(span.first, span.second, within)
            if len(within) < len(times):
                yield span.second


@dataclass(frozen=True, eq=False)
class _Span:
    """Two frames that follow each other, and where they stand in the source."""

    first: Pixels
    second: Pixels
    start: int
    end: int


def _spans(opening: Pixels, rest: Iterator[Pixels], smooth: bool) -> Iterator[_Span]:
    """Neighbouring frames; with `smooth`, a short run of copies counts as one long-lasting frame."""
    start, first, still = 0, opening, False
    waiting: _Span | None = None
    for number, frame in enumerate(rest, 1):
        span = _Span(first, frame, start, number)
        copy = smooth and relation(first, frame) == "duplicate"
        if copy and not still and number - start <= LONGEST_SMOOTHED_RUN:
            waiting = span
            continue
        yield span
        start, first, still, waiting = number, frame, copy, None
    if waiting is not None:
        yield waiting
