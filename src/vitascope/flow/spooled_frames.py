"""Frames that arrive one by one: in memory while they are few, in an unnamed file when they are many."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vitascope.errors import DiskFull, ResourceError

Pixels = NDArray[np.uint8]

IN_MEMORY_BYTES = 256 * 2**20


class SpooledFrames:
    """Frames in a temporary file without a name: it goes when nobody holds this reader any more.

    Shape: (T, H, W, 3) uint8; slices with step 1 come as arrays.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int, int]) -> None:
        self._file, self.shape = file, shape
        self._reading = threading.Lock()

    def __getitem__(self, index: slice) -> Pixels:
        """The frames of a slice with step 1."""
        start, stop, step = index.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"frames are read forwards one by one, not with step {step}")
        frame_bytes = int(np.prod(self.shape[1:]))
        count = max(0, stop - start)
        with self._reading:
            self._file.seek(start * frame_bytes)
            data = bytearray(self._file.read(count * frame_bytes))
        return np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])


def spool(
    frames: Iterable[Pixels], folder: Path, in_memory_bytes: int = IN_MEMORY_BYTES
) -> Pixels | SpooledFrames:
    """All `frames` together: an array, or beyond `in_memory_bytes` a reader over a file in `folder`.

    Raises: DiskFull, ResourceError if `folder` cannot be written to.
    """
    kept: list[Pixels] = []
    size, count = 0, 0
    file: IO[bytes] | None = None
    shape: tuple[int, ...] = ()
    try:
        for frame in frames:
            kept.append(frame)
            shape, size, count = frame.shape, size + frame.nbytes, count + 1
            if size > in_memory_bytes:
                if file is None:
                    folder.mkdir(parents=True, exist_ok=True)
                    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the reader owns it)
                for one in kept:
                    file.write(np.ascontiguousarray(one).data)
                kept.clear()
        if file is None:
            return np.stack(kept)
        file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {count} frames in {str(folder)!r}; free some room") from error
        raise ResourceError(f"cannot write frames into {str(folder)!r}: {error.strerror}") from error
    assert len(shape) == 3, "frames are (H, W, 3)"
    return SpooledFrames(file, (count, *shape))
