"""From the moments at which frames appear to a constant rate of frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vitascope.errors import InvalidMedia

# Rates that cameras, films and screens really have, the simplest first.
WHOLE_RATES = tuple(Fraction(rate) for rate in range(1, 121))
NTSC_RATES = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120))
MAX_RATE = 120
MAX_FRAMES = 2_000_000  # 18 hours at 30 frames a second


@dataclass(frozen=True, eq=False)
class Timeline:
    """A constant rate, and which stored frame each frame of it shows.

    Shape: stored (T,) indices of stored frames, never falling; None when each is shown once.
    """

    fps: Fraction
    num_frames: int
    stored: NDArray[np.int32] | None = None

    @property
    def is_resampled(self) -> bool:
        return self.stored is not None

    def stored_index(self, index: int) -> int:
        """Which stored frame frame `index` shows."""
        return index if self.stored is None else int(self.stored[index])

    def counts(self, num_stored: int) -> tuple[int, int]:
        """How many frames repeat the one before, and how many stored frames are never shown."""
        if self.stored is None:
            return 0, 0
        shown = len(np.unique(self.stored))
        return self.num_frames - shown, num_stored - shown


def constant_rate(
    times: NDArray[np.float64], duration_s: float, nominal: Fraction | None = None, tick_s: float = 0.0
) -> Timeline:
    """The timeline of frames that appear at `times` (seconds, rising from 0), the last until `duration_s`.

    If every frame lies nearest to its own slot of the nominal rate, or of the mean rate, all are kept once.
    Else the rate varies: the constant one is that of the lower median interval (at most 120), since a mean
    would drop the quick frames of a clip with long pauses; each slot shows the frame that is on screen
    at the slot's middle. `tick_s` is how finely the file tells time: rates are told apart no finer.
    """
    count = len(times)
    duration_s = max(duration_s, float(times[-1]))
    mean = _mean_rate(count, duration_s, tick_s)
    for fps in (nominal, mean):
        if fps is not None and fps > 0 and _each_in_its_slot(times, fps):
            return Timeline(fps, count)
    if duration_s <= 0:
        return Timeline(nominal or mean or Fraction(24), count)
    intervals = np.diff(np.append(times, duration_s))
    median = float(np.sort(intervals[intervals > 0])[(np.count_nonzero(intervals > 0) - 1) // 2])
    fps = simplest_rate(min(1 / median, float(MAX_RATE)), 0.01)
    return resampled(times, duration_s, fps)


def resampled(times: NDArray[np.float64], duration_s: float, fps: Fraction) -> Timeline:
    """The timeline at `fps` whose slots show the frame that is on screen at each slot's middle.

    Raises: InvalidMedia for more than two million frames.
    """
    num_frames = max(1, round(duration_s * float(fps)))
    if num_frames > MAX_FRAMES:
        raise InvalidMedia(
            f"{len(times)} frames are said to last {duration_s:.0f} s; their times are damaged"
        )
    middles = (np.arange(num_frames) + 0.5) / float(fps)
    stored = np.searchsorted(times, middles, side="right") - 1
    return Timeline(fps, num_frames, np.maximum(stored, 0).astype(np.int32))


def simplest_rate(measured: float, tolerance: float) -> Fraction:
    """The simplest rate within a relative `tolerance`: a whole one, an NTSC one, or as measured."""
    for family in (WHOLE_RATES, NTSC_RATES):
        nearest = min(family, key=lambda rate: abs(float(rate) - measured))
        if abs(float(nearest) - measured) <= tolerance * measured:
            return nearest
    return Fraction(measured).limit_denominator(1001)


def _mean_rate(count: int, duration_s: float, tick_s: float) -> Fraction | None:
    if duration_s <= 0:
        return None
    return simplest_rate(count / duration_s, max(2e-4, tick_s / duration_s))


def _each_in_its_slot(times: NDArray[np.float64], fps: Fraction) -> bool:
    slots = np.floor(times * float(fps) + 0.5)
    return bool(np.array_equal(slots, np.arange(len(times))))
