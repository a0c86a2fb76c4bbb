"""Copies of clips that tell nothing of what made them, behind tokens that tell nothing of the files."""

from __future__ import annotations

import hashlib
import secrets
from fractions import Fraction
from pathlib import Path

import numpy as np

from vitascope.clip import Clip
from vitascope.errors import NotFound, RequestError
from vitascope.media import read, write
from vitascope.recipe import Recipe

BLIND_CRF = 12
MAX_RATER_NAME = 80


def check_rater(rater: str) -> None:
    """Raises: RequestError for a rater without a usable name."""
    if not rater.strip() or len(rater) > MAX_RATER_NAME:
        raise RequestError(
            f"a rater needs a name of 1 to {MAX_RATER_NAME} characters, not {rater[:MAX_RATER_NAME]!r}",
            param="rater",
        )


def check_watched(watched_s: float, duration_s: float, rule: str) -> None:
    """Raises: RequestError for who judges before the end. Units: seconds."""
    if watched_s < duration_s * 0.95:
        raise RequestError(f"{rule} first: {watched_s:.1f} s of {duration_s:.1f} s", param="watched_s")


class BlindCopies:
    """Nameless copies in a folder: no metadata, no sound. A token lives as long as this object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens: dict[str, Path] = {}

    def side_by_side(self, sources: tuple[Path, Path], spoilt: tuple[bool, bool]) -> tuple[Path, Path]:
        """Nameless copies of clips at the faster rate and the shorter length; those marked are spoilt."""
        clips = [read(path) for path in sources]
        fps = max(clip.fps for clip in clips)
        duration = min(Fraction(clip.num_frames) / clip.fps for clip in clips)
        left, right = (
            self._copy(path, clip, fps, duration, bad)
            for path, clip, bad in zip(sources, clips, spoilt, strict=True)
        )
        return left, right

    def alone(self, source: Path) -> Path:
        """A nameless copy of one clip, unchanged."""
        clip = read(source)
        return self._copy(source, clip, clip.fps, Fraction(clip.num_frames) / clip.fps, False)

    def _copy(self, source: Path, clip: Clip, fps: Fraction, duration: Fraction, bad: bool) -> Path:
        mark = f"{source}|{source.stat().st_mtime_ns}|{fps}|{duration}|{bad}"
        target = self._folder / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.mp4"
        if not target.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            frames = on_clock(clip, fps, duration)
            blind = Clip(spoil(frames) if bad else frames, fps, recipe=Recipe())
            write(blind, target, crf=BLIND_CRF)
        return target

    def token(self, path: Path) -> str:
        """A word under which a copy can be asked for."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = path
        return token

    def file(self, token: str) -> Path:
        """The copy behind a token. Raises: NotFound."""
        if token not in self._tokens:
            raise NotFound(f"no clip {token[:40]!r}")
        return self._tokens[token]


def on_clock(clip: Clip, fps: Fraction, duration: Fraction) -> np.ndarray:
    """The frames that stand on screen at each tick of another clock. Units: `duration` in seconds."""
    ticks = max(1, int(duration * fps))
    shown = [min(int(Fraction(tick) / fps * clip.fps), clip.num_frames - 1) for tick in range(ticks)]
    return clip.array()[shown]


def spoil(frames: np.ndarray) -> np.ndarray:
    """A copy that anybody prefers less: blurred over a twentieth of the height, and every other frame held."""
    import cv2

    side = max(3, frames.shape[1] // 20 * 2 + 1)
    held = [number - number % 2 for number in range(len(frames))]
    return np.stack([cv2.GaussianBlur(frames[number], (side, side), 0) for number in held])
