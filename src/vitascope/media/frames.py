"""Frames that are made when they are sliced, from frames that may themselves still be in a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vitascope.clip import FrameReader, Pixels
    from vitascope.media.timeline import Timeline


def bounds(index: slice, length: int) -> tuple[int, int]:
    """Start and stop of a slice with step 1. Raises: TypeError for a number, ValueError for another step."""
    if not isinstance(index, slice):
        raise TypeError(f"frames are read by slices such as [0:8], not by {index!r}")
    start, stop, step = index.indices(length)
    if step != 1:
        raise ValueError(f"frames are read forwards, one by one, not with step {step}")
    return start, max(start, stop)


class StoredFrames(ABC):
    """Frames that are decoded when they are sliced; `_shape` is set by whoever opens them."""

    _shape: tuple[int, int, int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, H, W, 3)."""
        return self._shape

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, index: slice) -> Pixels:
        """The frames of a slice with step 1. Raises: InvalidMedia if one cannot be decoded."""
        start, stop = bounds(index, len(self))
        frames = np.empty((stop - start, *self._shape[1:]), np.uint8)
        self._decode(start, frames)
        return frames

    @abstractmethod
    def _decode(self, start: int, into: Pixels) -> None:
        """Fill `into` with the frames from `start` on."""


@dataclass(frozen=True, eq=False)
class MappedFrames:
    """Each frame treated by a function when it is sliced: cropping or padding a long clip costs no memory.

    Shape: treat (H, W, 3) to (height, width, 3).
    """

    frames: Pixels | FrameReader
    treat: Callable[[Pixels], Pixels]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, height, width, 3)."""
        return (int(self.frames.shape[0]), self.height, self.width, 3)

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    def __getitem__(self, index: slice) -> Pixels:
        """The treated frames of a slice with step 1."""
        start, stop = bounds(index, len(self))
        treated = np.empty((stop - start, self.height, self.width, 3), np.uint8)
        for at, frame in enumerate(self.frames[start:stop]):
            treated[at] = self.treat(frame)
        return treated


@dataclass(frozen=True, eq=False)
class RetimedFrames:
    """Frames at another, constant rate: some shown more than once, some not at all."""

    frames: Pixels | FrameReader
    timeline: Timeline

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, H, W, 3)."""
        return (self.timeline.num_frames, *self.frames.shape[1:])

    def __len__(self) -> int:
        return self.timeline.num_frames

    def __getitem__(self, index: slice) -> Pixels:
        """The frames of a slice with step 1, each stored one read once."""
        start, stop = bounds(index, len(self))
        frames = np.empty((stop - start, *self.shape[1:]), np.uint8)
        shown = -1
        for at in range(start, stop):
            stored = self.timeline.stored_index(at)
            frames[at - start] = (
                frames[at - start - 1] if stored == shown else self.frames[stored : stored + 1][0]
            )
            shown = stored
        return frames
