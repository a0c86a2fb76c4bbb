"""Clips and their captions from folders, cut to the sizes that are trained on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from vitascope.clip import Pixels
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.media import read
from vitascope.media.geometry import Box, resize
from vitascope.training.recipe import DataSource, VideoShape

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".flv", ".wmv", ".ogv", ".gif")
)
PICTURE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"])
CAPTION_FILES = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file", "file_name", "filename", "video", "path", "image")
CAPTION_COLUMNS = ("caption", "text", "prompt", "description")
# Mirrored, these would be wrong: sides, directions of turning, writing.
SIDED = re.compile(
    r"\b(left|right|leftwards?|rightwards?|clockwise|east|west|text|letters?|words?|writing|sign|logo|number)"
    r"|[左右东西字]|顺时针|逆时针|文|数字",
    re.IGNORECASE,
)

Bucket = tuple[int, int, int]
"""Width, height, frames."""


@dataclass(frozen=True)
class Sample:
    """A clip with its caption. `source` counts the recipe's folders."""

    path: Path
    caption: str
    source: int = 0
    may_flip: bool = False


@dataclass
class Collection:
    """What was found, and what was left out with the reason."""

    samples: list[Sample] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def media_files(folder: Path) -> list[Path]:
    """The videos and pictures in a folder and its folders, sorted; hidden ones are not seen.

    Raises: NotFound, RequestError for a folder without any.
    """
    if not folder.is_dir():
        raise NotFound(f"no folder {str(folder)!r} of clips to train on", param="data")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise RequestError(f"{str(folder)!r} holds no videos and no pictures", param="data")
    return files


def collect(sources: Sequence[DataSource]) -> Collection:
    """All clips of the folders with their captions, triggers put before them.

    Raises: NotFound, RequestError for an empty folder, an unreadable caption file, or missing captions that
    the recipe does not allow.
    """
    found = Collection()
    for number, source in enumerate(sources):
        files = media_files(source.path)
        captions = captions_of(source.path, files, source.captions)
        without = [path for path in files if path not in captions]
        if without and source.missing == "refuse":
            raise RequestError(
                f"{len(without)} of {len(files)} clips in {str(source.path)!r} have no caption, first "
                f"{without[0].name!r}; write them, run 'vitascope dataset caption', or set missing: skip",
                param="data",
            )
        if without and source.missing == "trigger" and not source.trigger:
            raise RequestError("missing: trigger needs a trigger word", param="data")
        for path in files:
            if path in captions or source.missing == "trigger":
                caption = with_trigger(captions.get(path, ""), source.trigger)
                flips = source.flip and not SIDED.search(caption)
                found.samples.append(Sample(path, caption, number, flips))
            else:
                found.left_out.append((path, "no caption"))
    if not found.samples:
        raise RequestError("no clip has a caption; there is nothing to train on", param="data")
    return found


def with_trigger(caption: str, trigger: str) -> str:
    """The caption with the trigger word before it, unless it has it as a word of its own already."""
    if not trigger or re.search(
        rf"(?<![A-Za-z0-9_]){re.escape(trigger)}(?![A-Za-z0-9_])", caption, re.IGNORECASE
    ):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def captions_of(folder: Path, files: Sequence[Path], listed: Path | None = None) -> dict[Path, str]:
    """The caption of each file that has one: from a list in the folder or in the file's own, or a .txt beside it.

    Raises: NotFound, RequestError for a list that cannot be read.
    """
    if listed is not None and not listed.is_file():
        raise NotFound(f"no caption file {str(listed)!r}", param="captions")
    places = {folder} | ({path.parent for path in files} if listed is None else set())
    lists = {place: _list_in(place, listed) for place in places}
    found = {}
    for path in files:
        caption = next(
            (c for place in (folder, path.parent) if (c := _listed(lists.get(place), path, place))), None
        )
        text = path.with_suffix(".txt")
        if caption is None and text.is_file():
            caption = _words(text)
        if caption and caption.strip():
            found[path] = " ".join(caption.split())
    return found


def _list_in(place: Path, listed: Path | None) -> dict[str, str]:
    listed = listed or next((place / name for name in CAPTION_FILES if (place / name).is_file()), None)
    return _read_list(listed) if listed else {}


def _listed(captions: dict[str, str] | None, path: Path, place: Path) -> str | None:
    names = (path.relative_to(place).as_posix(), path.name, path.stem)
    return next((captions[name] for name in names if captions.get(name)), None) if captions else None


def _words(path: Path) -> str:
    """A caption file's text; in another encoding its words would be noise, and trained on as such."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{str(path)!r} is not UTF-8 (byte {error.start}); save it as UTF-8", param="captions"
        ) from error


def _rows_of(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a list of captions, each with its line number. Raises: RequestError."""
    text = _words(path)
    if path.suffix == ".csv":
        # Not strict, a quotation mark that never closes takes the clips after it into one caption.
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise RequestError(f"{path}, line {reader.line_num + 1}: {error}", param="captions") from error
    elif path.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):  # other line ends may stand in a caption
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise RequestError(f"{path}, line {number}: not JSON", param="captions") from error
    else:
        raise RequestError(f"{str(path)!r} is neither .csv nor .jsonl", param="captions")


def _read_list(path: Path) -> dict[str, str]:
    captions = {}
    for number, row in _rows_of(path):
        file, caption = _column(row, FILE_COLUMNS), _column(row, CAPTION_COLUMNS)
        if file is None or caption is None:
            raise RequestError(
                f"{path}, line {number}: needs a column {FILE_COLUMNS[0]} and a column {CAPTION_COLUMNS[0]}",
                param="captions",
            )
        captions[str(file)] = str(caption)
        plain = PureWindowsPath(str(file)).as_posix()  # ./a.mp4, and a list that was written on Windows
        captions.setdefault(plain, str(caption))
    return captions


def _column(row: Any, names: Sequence[str]) -> Any:
    if not isinstance(row, dict):
        return None
    return next((row[name] for name in names if row.get(name) is not None), None)


def bucket_for(num_frames: int, width: int, height: int, buckets: Sequence[Bucket]) -> Bucket | None:
    """The bucket that loses least of a clip: the longest that it fills, then the most like its shape.

    A single picture goes to the sizes as one frame. None for a clip too short for every bucket.
    """
    fitting = [b for b in buckets if b[2] <= num_frames]
    if num_frames == 1:
        fitting = [(w, h, 1) for w, h, _ in buckets]
    if not fitting:
        return None
    shape = np.log(width / height)
    return min(fitting, key=lambda b: (-b[2], abs(np.log(b[0] / b[1]) - shape), -b[0] * b[1]))


def frames_for(path: Path, buckets: Sequence[Bucket], shape: VideoShape) -> tuple[Bucket, Pixels]:
    """A clip cut to its bucket: sampled in time, scaled to cover the size, what juts out cut off evenly.

    Raises: InvalidMedia for a file that cannot be read or is too short.
    """
    clip = read(path)
    step = 1.0
    if shape.fps and clip.num_frames > 1:
        step = max(1.0, float(clip.fps / Fraction(shape.fps).limit_denominator(1001)))
    available = int((clip.num_frames - 1) / step) + 1
    bucket = bucket_for(available, clip.width, clip.height, buckets)
    if bucket is None:
        least = min(b[2] for b in buckets)
        raise InvalidMedia(f"too short: {available} frames, at least {least} are needed")
    width, height, count = bucket
    first = (available - count) // 2 if shape.start == "middle" else 0
    wanted = [round((first + i) * step) for i in range(count)]
    raw = clip.frames[wanted[0] : wanted[-1] + 1]
    if len(raw) <= wanted[-1] - wanted[0]:
        raise InvalidMedia(f"holds only {len(raw)} of {clip.num_frames} frames; it is damaged")
    box = _covering(clip.width, clip.height, width, height)
    return bucket, np.stack([resize(raw[i - wanted[0]], width, height, box) for i in wanted])


def _covering(width: int, height: int, to_width: int, to_height: int) -> Box:
    """The largest part in the middle of a picture that has the wanted shape."""
    scale = min(width / to_width, height / to_height)
    cut_width, cut_height = round(to_width * scale), round(to_height * scale)
    return Box((width - cut_width) // 2, (height - cut_height) // 2, cut_width, cut_height)


def file_hash(path: Path) -> str:
    """What the content of a clip is known by."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
