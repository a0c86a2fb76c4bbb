"""From a path to a clip, whatever lies there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, PlainSerializer

from vitascope.clip import Audio, Clip, FrameReader, Pixels
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.media._containers import FrameIndex, index_frames, require_file
from vitascope.media._lossless import is_lossless, read_lossless
from vitascope.media._pictures import (
    PICTURE_SUFFIXES,
    AnimatedFrames,
    PictureFrames,
    explained,
    open_picture,
    picture_format,
    read_image,
)
from vitascope.media._sound import read_sound
from vitascope.media._tags import Tags, fps_in, labels_in, recipe_in, tags_of
from vitascope.media._video_frames import VideoFrames
from vitascope.media.frames import RetimedFrames
from vitascope.media.timeline import Timeline, constant_rate
from vitascope.recipe import Recipe, Stage

DEFAULT_FPS = Fraction(24)  # of pictures, which have no rate
# Others, such as TIFF and the JPEG of phones, hold further pages or views, not frames.
READ_BY_FFMPEG, MOVING_PICTURES = {"GIF", "PNG"}, {"GIF", "PNG", "WEBP", "AVIF"}
VIDEO_SUFFIXES = {
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".mpg",
    ".mpeg",
    ".flv",
    ".wmv",
    ".ogv",
}


class MediaInfo(BaseModel):
    """What a file holds, as `read` will give it.

    Units: fps in frames a second, duration_s in seconds, rotation in degrees clockwise from the stored
    frames to the upright ones (width and height are those of the upright ones).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    container: str
    codec: str
    width: int
    height: int
    fps: Annotated[Fraction, PlainSerializer(str)]
    num_frames: int
    duration_s: float
    has_audio: bool = False
    has_alpha: bool = False
    is_hdr: bool = False
    is_variable_rate: bool = False
    rotation: int = 0


@dataclass(frozen=True, eq=False)
class _Source:
    """A path looked into: its frames, still undecoded, at a constant rate."""

    info: MediaInfo
    frames: Pixels | FrameReader
    tags: Tags
    notes: dict[str, Any] = field(default_factory=dict)
    mask: Pixels | None = None
    sound_from_s: float | None = None


def read(path: str | Path, *, fps: Fraction | float | None = None) -> Clip:
    """Read a video, an animated or still picture, or a folder of pictures as a clip.

    Frames stay in the file until they are sliced; slices that follow each other decode each frame once, and
    memory does not grow with the length. `fps` is for pictures, which have no rate (24 if not given).

    A clip has one constant rate: variable ones are resampled, each frame showing what is on screen at the
    middle of its slot (`vitascope.media.timeline`), and the recipe says so. Frames come upright, with square
    pixels, 8 bits of sRGB, over black where they are transparent; of a still picture the opacity is kept as
    the mask.

    Raises: NotFound, InvalidMedia for a file that is damaged, cut short, empty or not what its name says,
    RequestError for `fps` with a video.
    """
    path = Path(path)
    if path.is_dir() and is_lossless(path):
        return read_lossless(path)
    source = _look_into(path, None if fps is None else Fraction(fps))
    audio = read_sound(path, source.sound_from_s) if source.sound_from_s is not None else None
    return _clip(path, source, audio)


def probe(path: str | Path) -> MediaInfo:
    """What a file holds: size, rate, length, codec; decodes one frame. Raises: NotFound, InvalidMedia."""
    path = Path(path)
    if path.is_dir() and is_lossless(path):
        clip = read_lossless(path)
        return _described("lossless", "npy", clip.frames, clip.fps, has_audio=clip.audio is not None)
    return _look_into(path, None).info


def _clip(path: Path, source: _Source, audio: Audio | None) -> Clip:
    notes = dict(source.notes)
    try:
        recipe = recipe_in(source.tags, path) or Recipe()
    except InvalidMedia as error:
        recipe, notes["unread_recipe"] = Recipe(), str(error)
    if source.info.has_audio and audio is None:
        notes["sound"] = "left out: no decoder for its codec"
    if notes or not recipe.stages:
        recipe = recipe.then(Stage(kind="file", name=path.name, notes=notes))
    recipe = labels_in(source.tags, recipe)
    return Clip(source.frames, source.info.fps, audio, source.mask, recipe)


def _look_into(path: Path, fps: Fraction | None) -> _Source:
    if fps is not None and fps <= 0:
        raise RequestError(f"fps must be positive, not {fps}", param="fps")
    if path.is_dir():
        return _folder(path, fps)
    if not path.exists():
        raise NotFound(f"no file or folder at {str(path)!r}")
    require_file(path)
    picture = picture_format(path)
    suffix = path.suffix.lower()
    if picture is None:
        if suffix in PICTURE_SUFFIXES and path.stat().st_size:
            raise InvalidMedia(f"{str(path)!r} is named like a picture but is none; rename or replace it")
        return _video(path, fps)
    if suffix in VIDEO_SUFFIXES:
        raise InvalidMedia(f"{str(path)!r} is named like a video but is a {picture} picture; rename it")
    with open_picture(path) as opened, explained(path):
        is_moving = picture in MOVING_PICTURES and getattr(opened, "is_animated", False)
    if not is_moving:
        return _still(path, picture, fps)
    return _video(path, fps) if picture in READ_BY_FFMPEG else _animated(path, picture, fps)


def _described(
    container: str, codec: str, frames: Pixels | FrameReader, fps: Fraction, **more: Any
) -> MediaInfo:
    num_frames, height, width, _ = frames.shape
    return MediaInfo(
        container=container,
        codec=codec,
        width=width,
        height=height,
        fps=fps,
        num_frames=num_frames,
        duration_s=float(num_frames / fps),
        **more,
    )


def _still(path: Path, picture: str, fps: Fraction | None) -> _Source:
    image = read_image(path)
    tags = tags_of(path)
    rate = fps or fps_in(tags, path) or DEFAULT_FPS
    frames = image.pixels[None]
    mask = None if image.alpha is None else image.alpha[None]
    notes = {} if mask is None else {"alpha": "over black; the opacity is the mask"}
    name = picture.lower()
    info = _described(name, name, frames, rate, has_alpha=mask is not None)
    return _Source(info, frames, tags, notes, mask)


def _folder(path: Path, fps: Fraction | None) -> _Source:
    paths = [p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise InvalidMedia(f"the folder {str(path)!r} holds no clips and no pictures")
    frames = PictureFrames(sorted(paths, key=_as_people_count))
    tags = tags_of(path)
    rate = fps or fps_in(tags, path) or DEFAULT_FPS
    notes = {"alpha": "over black"} if frames.has_alpha else {}
    codec = paths[0].suffix.lower().lstrip(".")
    info = _described("folder", codec, frames, rate, has_alpha=frames.has_alpha)
    return _Source(info, frames, tags, notes)


def _as_people_count(path: Path) -> list[Any]:
    """Sorts frame_2 before frame_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _refuse_rate(path: Path, fps: Fraction | None) -> None:
    if fps is not None:
        raise RequestError(f"{str(path)!r} has its own rate; fps is for pictures", param="fps")


def _retimed(frames: FrameReader, timeline: Timeline, notes: dict[str, Any]) -> FrameReader:
    if not timeline.is_resampled:
        return frames
    repeated, dropped = timeline.counts(frames.shape[0])
    notes["resampled"] = {
        "from": "variable rate",
        "fps": str(timeline.fps),
        "frames_repeated": repeated,
        "frames_dropped": dropped,
    }
    return RetimedFrames(frames, timeline)


def _animated(path: Path, picture: str, fps: Fraction | None) -> _Source:
    _refuse_rate(path, fps)
    stored = AnimatedFrames(path)
    ends = stored.ends_s()
    timeline = constant_rate(np.append(0.0, ends[:-1]), float(ends[-1]), tick_s=0.001)
    notes: dict[str, Any] = {"alpha": "over black"} if stored.has_alpha else {}
    frames = _retimed(stored, timeline, notes)
    flags = {"has_alpha": stored.has_alpha, "is_variable_rate": timeline.is_resampled}
    name = picture.lower()
    return _Source(_described(name, name, frames, timeline.fps, **flags), frames, tags_of(path), notes)


def _video(path: Path, fps: Fraction | None) -> _Source:
    index = index_frames(path)
    _refuse_rate(path, fps)
    stored = VideoFrames(index)
    if index.cut_short:
        raise InvalidMedia(
            f"{str(path)!r} is cut short: only its first {stored.count_readable()} frames could be read; "
            "get the whole file"
        )
    tags = tags_of(path)
    told = index.stated_rate or fps_in(tags, path)
    timeline = constant_rate(index.times_s(), index.duration_s, told, float(index.time_base))
    notes = _notes(index, stored)
    frames = _retimed(stored, timeline, notes)
    info = _described(
        _container_name(index),
        index.codec,
        frames,
        timeline.fps,
        has_audio=index.has_audio,
        has_alpha=stored.has_alpha,
        is_hdr=stored.is_hdr,
        is_variable_rate=timeline.is_resampled,
        rotation=stored.orientation.degrees_clockwise,
    )
    sound_from_s = float(index.pts[0] * index.time_base) if index.has_audio else None
    return _Source(info, frames, tags, notes, None, sound_from_s)


def _notes(index: FrameIndex, stored: VideoFrames) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    if stored.orientation.degrees_clockwise:
        notes["turned_clockwise"] = stored.orientation.degrees_clockwise
    if stored.has_alpha:
        notes["alpha"] = "over black"
    if stored.is_hdr:
        notes["hdr"] = "brought to sRGB, white at 203 cd/m2"
    if index.pixel_shape not in (None, 1):
        notes["pixel_shape"] = f"{index.pixel_shape}, made square"
    return notes


def _container_name(index: FrameIndex) -> str:
    """One name for demuxers that read several containers: the one that the suffix says, else the first."""
    names = index.container.split(",")
    suffix = index.path.suffix.lower().lstrip(".")
    if suffix in names:
        return suffix
    return {"mov": "mp4"}.get(names[0], names[0])
