"""Animated GIF with a palette made for the whole clip, in two passes over the frames."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.errors import RunError
from vitascope.media._tags import Tags, as_comment
from vitascope.media.frames import RetimedFrames
from vitascope.media.timeline import Timeline, resampled

if TYPE_CHECKING:
    from av import VideoFrame

# Browsers slow down frames that last less than two hundredths of a second.
MAX_RATE = Fraction(50)
# Source: GIF89a specification, sections 18 (screen descriptor), 24 (comment), 15 (sub-blocks of 255 bytes).
HEADER_BYTES = 13
COMMENT_LABEL = b"\x21\xfe"
SUB_BLOCK = 255


def within_gif_rate(clip: Clip) -> tuple[Clip, Timeline | None]:
    """The clip at no more than 50 frames a second, and how it was brought there if it was faster."""
    if clip.fps <= MAX_RATE:
        return clip, None
    times = np.arange(clip.num_frames) / float(clip.fps)
    timeline = resampled(times, clip.duration_s, MAX_RATE)
    return replace(clip, frames=RetimedFrames(clip.frames, timeline), fps=MAX_RATE, mask=None), timeline


def encode_gif(frames: Callable[[], Iterator[Pixels]], clip: Clip, path: Path, tags: Tags) -> None:
    """Write `path`; `frames` is called twice. Raises: RunError, OSError."""
    import av

    bare = path.with_name(f"{path.name}.bare")
    try:
        palette = _palette(frames(), clip)
        with av.open(str(bare), "w", format="gif", options={"loop": "0"}) as container:
            stream = container.add_stream("gif", rate=clip.fps)
            stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "pal8"
            for frame in _painted(frames(), clip, palette):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        _with_comment(bare, path, as_comment(tags))
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise RunError(f"encoding {path.name!r} failed: {error.strerror}") from error
    finally:
        bare.unlink(missing_ok=True)


def _source(graph: Any, clip: Clip) -> Any:
    return graph.add_buffer(width=clip.width, height=clip.height, format="rgb24", time_base=1 / clip.fps)


def _pushable(frame: Pixels, number: int, clip: Clip) -> VideoFrame:
    from av import VideoFrame

    picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    picture.pts, picture.time_base = number, 1 / clip.fps
    return picture


def _palette(frames: Iterator[Pixels], clip: Clip) -> VideoFrame:
    """The 256 colours that serve all frames best."""
    from av.filter import Graph

    graph = Graph()
    source, sink = _source(graph, clip), graph.add("buffersink")
    chooser = graph.add("palettegen", "stats_mode=full:reserve_transparent=0")
    source.link_to(chooser)
    chooser.link_to(sink)
    graph.configure()
    for number, frame in enumerate(frames):
        source.push(_pushable(frame, number, clip))
    source.push(None)
    return cast("VideoFrame", sink.pull())


def _painted(frames: Iterator[Pixels], clip: Clip, palette: VideoFrame) -> Iterator[VideoFrame]:
    """The frames in the colours of the palette; only what moved is dithered anew."""
    import av
    from av.filter import Graph

    graph = Graph()
    source, sink = _source(graph, clip), graph.add("buffersink")
    colours = graph.add_buffer(
        width=palette.width, height=palette.height, format=palette.format, time_base=1 / clip.fps
    )
    painter = graph.add("paletteuse", "dither=sierra2_4a:diff_mode=rectangle")
    source.link_to(painter, 0, 0)
    colours.link_to(painter, 0, 1)
    painter.link_to(sink)
    graph.configure()
    colours.push(palette)
    colours.push(None)

    def ready() -> Iterator[VideoFrame]:
        while True:
            try:
                yield cast("VideoFrame", sink.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    for number, frame in enumerate(frames):
        source.push(_pushable(frame, number, clip))
        yield from ready()
    source.push(None)
    yield from ready()


def _with_comment(bare: Path, path: Path, comment: bytes) -> None:
    """Copy a GIF with a comment put before its first picture, where readers look for it."""
    with bare.open("rb") as source, path.open("wb") as target:
        header = source.read(HEADER_BYTES)
        has_colour_table, table_bits = header[10] & 0x80, (header[10] & 0x07) + 1
        target.write(header + source.read(3 * 2**table_bits if has_colour_table else 0))
        target.write(COMMENT_LABEL)
        for at in range(0, len(comment), SUB_BLOCK):
            block = comment[at : at + SUB_BLOCK]
            target.write(bytes([len(block)]) + block)
        target.write(b"\0")
        shutil.copyfileobj(source, target)
