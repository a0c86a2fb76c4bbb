"""Animated GIF with one palette made for the whole clip."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.errors import RunError
from vitascope.labels import metadata
from vitascope.media._tags import AIGC_TAG, Tags, as_comment
from vitascope.media.frames import RetimedFrames
from vitascope.media.timeline import Timeline, resampled

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

COLOURS = 255
SAMPLED_FRAMES, SAMPLED_PIXELS = 64, 2**18
# Browsers slow down frames that last less than two hundredths of a second.
MAX_RATE = Fraction(50)
# Source: GIF89a specification, sections 18 (screen descriptor), 24 (comment), 15 (sub-blocks of 255 bytes).
HEADER_BYTES = 13
COMMENT_LABEL = b"\x21\xfe"
SUB_BLOCK = 255
# The packet stands there as it is, and is read as the lengths of sub-blocks; the trailer leads any of them to the end.
# Source: Adobe, XMP specification part 3, 1.1.2 (GIF).
XMP_EXTENSION = b"\x21\xff\x0bXMP DataXMP"
XMP_TRAILER = bytes([1, *range(255, -1, -1), 0])


def within_gif_rate(clip: Clip) -> tuple[Clip, Timeline | None]:
    """The clip at no more than 50 frames a second, and how it was brought there if it was faster."""
    if clip.fps <= MAX_RATE:
        return clip, None
    times = np.arange(clip.num_frames) / float(clip.fps)
    timeline = resampled(times, clip.duration_s, MAX_RATE)
    return replace(clip, frames=RetimedFrames(clip.frames, timeline), fps=MAX_RATE, mask=None), timeline


def encode_gif(frames: Iterator[Pixels], clip: Clip, path: Path, tags: Tags) -> None:
    """Write `frames`, which are those of `clip`, to `path`. Raises: RunError, OSError."""
    import av
    from PIL import Image as Pillow

    bare = path.with_name(f"{path.name}.bare")
    palette = _palette(clip)
    colours = _with_transparent_last(palette)
    try:
        with av.open(f"file:{bare}", "w", format="gif", options={"loop": "0"}) as container:
            stream = container.add_stream("gif", rate=clip.fps)
            stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "pal8"
            for number, frame in enumerate(frames):
                picture = Pillow.fromarray(np.ascontiguousarray(frame))
                indices = np.asarray(picture.quantize(palette=palette, dither=Pillow.Dither.FLOYDSTEINBERG))
                painted = av.VideoFrame.from_ndarray(cast(Any, (indices, colours)), format="pal8")
                painted.pts, painted.time_base = number, 1 / clip.fps
                container.mux(stream.encode(painted))
            container.mux(stream.encode(None))
        _with_metadata(bare, path, tags)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise RunError(f"encoding {path.name!r} failed: {error.strerror}") from error
    finally:
        bare.unlink(missing_ok=True)


def _palette(clip: Clip) -> PillowImage:
    """The colours that cover best what the clip shows, from frames spread over it."""
    from PIL import Image as Pillow

    count = min(clip.num_frames, SAMPLED_FRAMES)
    numbers = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
    stride = max(1, math.ceil(math.sqrt(count * clip.width * clip.height / SAMPLED_PIXELS)))
    samples = [clip.frames[int(number) : int(number) + 1][0, ::stride, ::stride] for number in numbers]
    sheet = Pillow.fromarray(np.ascontiguousarray(np.concatenate(samples)))
    return sheet.quantize(COLOURS, method=Pillow.Quantize.MAXCOVERAGE)


def _with_transparent_last(palette: PillowImage) -> Pixels:
    """A palette as FFmpeg takes it; the last entry lets its encoder leave out what did not move.

    Shape: (256, 4) uint8, alpha first.
    """
    rgb = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
    colours = np.zeros((COLOURS + 1, 4), np.uint8)
    colours[:COLOURS, 0] = 255
    colours[: len(rgb), 1:] = rgb[:COLOURS]
    return colours


def _with_metadata(bare: Path, path: Path, tags: Tags) -> None:
    """Copy a GIF with its tags put before its first picture, where readers look for them."""
    comment = as_comment({key: value for key, value in tags.items() if key != AIGC_TAG})
    with bare.open("rb") as source, path.open("wb") as target:
        header = source.read(HEADER_BYTES)
        has_colour_table, table_bits = header[10] & 0x80, (header[10] & 0x07) + 1
        target.write(header + source.read(3 * 2**table_bits if has_colour_table else 0))
        target.write(COMMENT_LABEL)
        for at in range(0, len(comment), SUB_BLOCK):
            block = comment[at : at + SUB_BLOCK]
            target.write(bytes([len(block)]) + block)
        target.write(b"\0")
        if AIGC_TAG in tags:
            target.write(XMP_EXTENSION + metadata.as_xmp(tags[AIGC_TAG]) + XMP_TRAILER)
        shutil.copyfileobj(source, target)
