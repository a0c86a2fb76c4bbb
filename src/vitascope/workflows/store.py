"""Intermediate clips kept by the hash of what made them: a rerun starts where something changed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitascope import __version__
from vitascope.atomic import ready_folder
from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.media import read_lossless, write_lossless

HASHED_AT_ONCE = 32  # frames
HALF_WRITTEN_S = 24 * 3600.0  # a folder still hidden after a day was left by a killed run


def key_of(*parts: Any) -> str:
    """A hash of JSON-like parts and of the version of this package."""
    text = json.dumps([__version__, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def clip_key(clip: Clip, num_frames: int | None = None) -> str:
    """A hash of a clip: its frames (the first `num_frames` if given), rate, mask, sound, and what its recipe says.

    The recipe counts since a treated clip carries it on: where the clip was read, and how it is labelled.
    """
    used = min(num_frames or clip.num_frames, clip.num_frames)
    said = f"{clip.frames.shape}{used}{clip.fps}{clip.recipe.model_dump_json()}"
    digest = hashlib.sha256(said.encode())
    for start in range(0, used, HASHED_AT_ONCE):
        window = slice(start, min(start + HASHED_AT_ONCE, used))
        digest.update(np.ascontiguousarray(clip.frames[window]).tobytes())
        if clip.mask is not None:
            digest.update(b"mask" + np.ascontiguousarray(clip.mask[window]).tobytes())
    if clip.audio is not None:
        digest.update(f"sound {clip.audio.sample_rate}".encode())
        digest.update(np.ascontiguousarray(clip.audio.samples).tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class ClipStore:
    """Lossless clips in a folder, one a key; `fresh` stores find nothing, so that all is made again.

    `used` lists the folders of the clips that were found or put, in order. With `limit_gib` the clips used
    longest ago go when there is no more room; a clip larger than that is not kept.
    """

    folder: Path
    fresh: bool = False
    limit_gib: float | None = None
    used: list[Path] = field(default_factory=list)

    def get(self, key: str) -> Clip | None:
        """The clip kept under `key`, or None; a damaged one counts as none."""
        path = self.folder / key
        if self.fresh or not path.exists():
            return None
        try:
            clip = read_lossless(path)
        except RequestError:
            return None
        with suppress(OSError):
            os.utime(path)
        self.used.append(path)
        return clip

    def put(self, key: str, clip: Clip) -> Clip:
        """Keep `clip` under `key`. Raises: DiskFull, ResourceError."""
        size = math.prod(clip.frames.shape)
        if self.limit_gib is not None and size > self.limit_gib * 2**30:
            return clip
        ready_folder(self.folder)
        if self.limit_gib is not None:
            self.prune(self.limit_gib * 2**30 - size)
        write_lossless(clip, self.folder / key)
        self.used.append(self.folder / key)
        return clip

    def prune(self, room: float) -> int:
        """Remove the clips used longest ago until the rest fits into `room`, and what killed runs left.

        Never those used by this run. Gives the bytes that were freed. Units: room in bytes.
        """
        kept = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(OSError):  # another run may remove it meanwhile
                kept.append((path.stat().st_mtime, _size(path), path))
        total, freed = sum(size for _, size, _ in kept), 0
        for used_at, size, path in sorted(kept):
            is_half = path.name.startswith(".")
            if path in self.used or (is_half and time.time() - used_at < HALF_WRITTEN_S):
                continue
            if is_half or total > room:
                shutil.rmtree(path, ignore_errors=True)
                total, freed = total - size, freed + size
        return freed


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
