"""Clips on disk without loss, for what a workflow keeps between its stages."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vitascope.atomic import replacing_folder
from vitascope.clip import Audio, Clip
from vitascope.errors import InvalidMedia, NotFound
from vitascope.recipe import Recipe

if TYPE_CHECKING:
    pass

FORMAT = "vitascope lossless clip, version 1"
ABOUT = "lossless.json"
FILES = {ABOUT, "frames.npy", "mask.npy", "audio.npy"}
WINDOW_BYTES = 32 * 2**20


def window_length(clip: Clip) -> int:
    """How many frames to hold at a time."""
    return max(1, WINDOW_BYTES // (clip.height * clip.width * 3))


def is_lossless(path: Path) -> bool:
    """Whether a folder holds a lossless clip."""
    return (path / ABOUT).is_file()


def write_lossless(clip: Clip, path: str | Path) -> Path:
    """Write a clip into the folder `path` so that `read_lossless` gives the very same one.

    Frames, mask and sound as .npy, the rest as JSON; the frames pass through memory window by window.
    A lossless clip already at `path` is replaced.
    Raises: NotFound, RequestError for somebody else's folder, DiskFull.
    """
    path = Path(path)
    is_ours = path.is_dir() and is_lossless(path) and {p.name for p in path.iterdir()} <= FILES
    about = {
        "format": FORMAT,
        "fps": str(clip.fps),
        "sample_rate": clip.audio.sample_rate if clip.audio else None,
        "recipe": clip.recipe.model_dump(mode="json"),
    }
    with replacing_folder(path, is_ours) as folder:
        with (folder / "frames.npy").open("wb") as file:
            _write_head(file, tuple(clip.frames.shape))
            for _, frames in clip.windows(window_length(clip)):
                file.write(np.ascontiguousarray(frames).data)
        if clip.mask is not None:
            np.save(folder / "mask.npy", clip.mask, allow_pickle=False)
        if clip.audio is not None:
            np.save(folder / "audio.npy", clip.audio.samples, allow_pickle=False)
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return path


def _write_head(file: BinaryIO, shape: tuple[int, ...]) -> None:
    head: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def read_lossless(path: str | Path) -> Clip:
    """Read what `write_lossless` wrote; frames, mask and sound are paged in as they are used.

    Raises: NotFound, InvalidMedia for a damaged one.
    """
    path = Path(path)
    if not is_lossless(path):
        raise NotFound(f"no lossless clip at {str(path)!r}")
    try:
        about = json.loads((path / ABOUT).read_bytes())
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r}")
        audio = None
        if about["sample_rate"] is not None:
            audio = Audio(_mapped(path / "audio.npy"), int(about["sample_rate"]))
        has_mask = (path / "mask.npy").exists()
        return Clip(
            _mapped(path / "frames.npy"),
            Fraction(about["fps"]),
            audio,
            _mapped(path / "mask.npy") if has_mask else None,
            Recipe.model_validate(about["recipe"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        why = " ".join(str(error).split())[:120]
        raise InvalidMedia(f"the lossless clip at {str(path)!r} is damaged ({why}); make it again") from error


def _mapped(path: Path) -> NDArray[Any]:
    return np.load(path, mmap_mode="r", allow_pickle=False)
