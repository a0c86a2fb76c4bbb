"""What travels between rooms: Clip, Audio, Image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vitascope.errors import InvalidMedia
from vitascope.recipe import AigcLabel, Recipe

Pixels = NDArray[np.uint8]
MAX_RATE_DENOMINATOR = 1_000_000  # containers and codecs count in 32 bits


def as_rate(fps: Fraction | float | str) -> Fraction:
    """A frame rate as files can hold it: 29.97 is 2997/100, not the binary number beside it."""
    exact = Fraction(str(fps)) if isinstance(fps, float) else Fraction(fps)
    return exact.limit_denominator(MAX_RATE_DENOMINATOR)


@runtime_checkable
class FrameReader(Protocol):
    """Frames that stay in a file until they are sliced; looks like an array of shape (T, H, W, 3)."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, H, W, 3)."""
        ...

    def __getitem__(self, index: slice) -> Pixels:
        """The frames of a slice with step 1, decoded. Shape: (n, H, W, 3) uint8 RGB."""
        ...


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound that belongs to a clip.

    Shape: samples (channels, n) float32 in -1..1. Units: sample_rate in Hz.
    """

    samples: NDArray[np.float32]
    sample_rate: int


@dataclass(frozen=True, eq=False)
class Image:
    """A still picture, upright, in sRGB. `aigc`: what its file said of being generated.

    Shape: pixels (H, W, 3) uint8; alpha (H, W) uint8 or None.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    path: Path | None = None
    aigc: AigcLabel | None = None

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise InvalidMedia(f"a picture must be uint8 of shape (H, W, 3), not {self.pixels.dtype} {shape}")

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def sha256(self) -> str:
        """Hash of the pixels, the same for the same picture in any file format."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        if self.alpha is not None:
            digest.update(np.ascontiguousarray(self.alpha).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Clip:
    """A video: frames, their rate, and what made them.

    Shape: frames (T, H, W, 3) uint8 RGB, as an array or as a reader that decodes on slicing;
    mask (T, H, W) uint8 or None, 255 where the subject is.
    """

    frames: Pixels | FrameReader
    fps: Fraction
    audio: Audio | None = None
    mask: Pixels | None = None
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        shape = tuple(self.frames.shape)
        if len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InvalidMedia(f"a clip's frames must have shape (T, H, W, 3), not {shape}")
        if isinstance(self.frames, np.ndarray) and self.frames.dtype != np.uint8:
            raise InvalidMedia(f"a clip's frames must be uint8, not {self.frames.dtype}")
        object.__setattr__(self, "fps", as_rate(self.fps))
        if self.fps <= 0:
            raise InvalidMedia(f"a clip's fps must be positive, not {self.fps}")
        if self.mask is not None and self.mask.shape != shape[:3]:
            raise InvalidMedia(f"a clip's mask must have shape {shape[:3]}, not {self.mask.shape}")

    @property
    def num_frames(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @property
    def duration_s(self) -> float:
        return float(self.num_frames / self.fps)

    def array(self) -> Pixels:
        """All frames in memory. Shape: (T, H, W, 3) uint8 RGB."""
        return self.frames[0 : self.num_frames]

    def windows(self, size: int, overlap: int = 0) -> Iterator[tuple[int, Pixels]]:
        """Runs of at most `size` frames, each starting `size - overlap` after the last, as (start, frames).

        The last run may be shorter; a run never consists of overlap alone.
        Raises: ValueError unless 0 <= overlap < size.
        """
        if not 0 <= overlap < size:
            raise ValueError(f"overlap must be in 0..{size - 1} for windows of {size}, not {overlap}")
        start = 0
        while True:
            stop = min(start + size, self.num_frames)
            yield start, self.frames[start:stop]
            if stop == self.num_frames:
                return
            start = stop - overlap

    def with_frames(self, frames: Pixels | FrameReader, **changes: Any) -> Clip:
        """This clip with other frames; its mask is dropped unless one is given.

        The sound stays: give `audio=None` where the timing changes.
        """
        return replace(self, **{"mask": None, **changes, "frames": frames})

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the clip, its format chosen by the suffix (.mp4, .webm, .gif, .png, or a folder of PNG).

        The recipe goes into the file's metadata. `options` are those of `vitascope.media.write`.
        Raises: RequestError, DiskFull.
        """
        from vitascope.media import write

        return write(self, path, **options)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """How a notebook shows the clip: playing, looped."""
        from vitascope.media import to_html

        return {"text/plain": repr(self), "text/html": to_html(self)}

    def __repr__(self) -> str:
        made_by = " + ".join(stage.name for stage in self.recipe.stages) or "unknown origin"
        size = f"{self.width}x{self.height}"
        return f"Clip({self.num_frames} frames, {size}, {float(self.fps):g} fps, {made_by})"
