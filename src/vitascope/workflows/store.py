"""Intermediate clips kept by the hash of what made them: a rerun starts where something changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitascope import __version__
from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.media import read_lossless, write_lossless


def key_of(*parts: Any) -> str:
    """A hash of JSON-like parts and of the version of this package."""
    text = json.dumps([__version__, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def clip_key(clip: Clip) -> str:
    """A hash of a clip's frames, rate and sound, read in pieces."""
    digest = hashlib.sha256(f"{clip.frames.shape}{clip.fps}".encode())
    for _, frames in clip.windows(32):
        digest.update(np.ascontiguousarray(frames).tobytes())
    if clip.audio is not None:
        digest.update(np.ascontiguousarray(clip.audio.samples).tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class ClipStore:
    """Lossless clips in a folder, one a key; `fresh` stores find nothing, so that all is made again.

    `used` lists the folders of the clips that were found or put, in order.
    """

    folder: Path
    fresh: bool = False
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
        self.used.append(path)
        return clip

    def put(self, key: str, clip: Clip) -> Clip:
        """Keep `clip` under `key`. Raises: DiskFull."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.used.append(self.folder / key)
        write_lossless(clip, self.folder / key)
        return clip
