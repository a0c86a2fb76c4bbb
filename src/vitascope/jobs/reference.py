"""What a client has sent: a picture or a clip, told apart and proven by really decoding it, within limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vitascope.clip import Clip, Image
from vitascope.errors import InvalidMedia, NotFound, OutOfMemory
from vitascope.labels.policy import keep_labels
from vitascope.media import read, read_image
from vitascope.media._pictures import picture_format
from vitascope.media._tails import check_end
from vitascope.recipe import Recipe, Stage

PARAM = "input_reference"
MAX_PICTURE_PIXELS = 64 * 2**20
MAX_SIDE = 8192
MAX_CLIP_PIXELS = 600 * 1920 * 1080  # over all frames
MAX_CLIP_SECONDS = 600
NUM_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class Reference:
    """An uploaded picture or clip."""

    media: Image | Clip

    @property
    def kind(self) -> Literal["picture", "clip"]:
        """Whether the reference is a picture or a clip."""
        return "picture" if isinstance(self.media, Image) else "clip"


def read_reference(path: Path, *, whole: bool = True) -> Reference:
    """The picture or clip in a file, whatever it is called; its place on our disk stays out of it.

    `whole`: decode every frame, a few at a time, and see that nothing is hidden behind the file's end, so that
    a damaged or doubtful one is refused before it is queued.
    Raises: InvalidMedia.
    """
    try:
        if whole and (complaint := check_end(path)):
            raise InvalidMedia(f"{str(path)!r} is not a plain picture or clip: {complaint}")
        if picture_format(path) not in (None, "GIF"):
            return Reference(replace(_small_enough(read_image(path)), path=None))
        return Reference(_short_enough(read(path), whole=whole))
    except (InvalidMedia, NotFound, OutOfMemory) as error:
        message = str(error).replace(str(path), PARAM)
        raise InvalidMedia(message, param=PARAM) from error


def _small_enough(picture: Image) -> Image:
    _check_side(picture.width, picture.height)
    if picture.width * picture.height > MAX_PICTURE_PIXELS:
        raise InvalidMedia(f"the picture is {picture.width}x{picture.height}; scale it down")
    return picture


def _short_enough(clip: Clip, *, whole: bool) -> Clip:
    _check_side(clip.width, clip.height)
    pixels = clip.num_frames * clip.width * clip.height
    if pixels > MAX_CLIP_PIXELS:
        raise InvalidMedia(
            f"the clip has {pixels} pixels over all its frames; at most {MAX_CLIP_PIXELS} are taken"
        )
    if clip.duration_s > MAX_CLIP_SECONDS:
        raise InvalidMedia(f"the clip lasts {clip.duration_s:g} s; at most {MAX_CLIP_SECONDS} are taken")
    if whole:
        for _ in clip.windows(NUM_FRAMES_AT_ONCE):
            pass
    return keep_labels(replace(clip, recipe=Recipe().then(Stage(kind="file", name="upload"))), clip)


def _check_side(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise InvalidMedia(f"{width}x{height} is too large: a side may have {MAX_SIDE} pixels")
