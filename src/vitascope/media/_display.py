"""Clips made small for looking at: in a notebook, as one picture, side by side."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.clip import Clip, Image, Pixels
from vitascope.errors import RequestError
from vitascope.media._writing import write
from vitascope.media.frames import MappedFrames
from vitascope.media.geometry import resize

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

MAX_HTML_BYTES = 8 * 2**20
MAX_HTML_SIDE = 512
MAX_HTML_FRAMES = 480
PREVIEW_CRF = 23
# Fonts with Chinese, where systems have them; Pillow looks for the names in the system's font folders.
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc")
GAP = 4
BACKGROUND, INK = 255, 20


def _within(width: int, height: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(clip: Clip, max_side: int) -> Clip:
    width, height = _within(clip.width, clip.height, max_side)
    if (width, height) == (clip.width, clip.height):
        return clip
    return clip.with_frames(
        MappedFrames(clip.frames, lambda frame: resize(frame, width, height), height, width)
    )


def to_html(clip: Clip, *, max_bytes: int = MAX_HTML_BYTES) -> str:
    """A looping, silent <video> with the clip inside, for notebooks and reports.

    At most 512 pixels wide or high and 480 frames; made smaller until the text is within `max_bytes`. What
    was left out stands in the caption.
    Raises: RequestError if not even 64 pixels fit.
    """
    preview = clip
    if clip.num_frames > MAX_HTML_FRAMES:
        preview = clip.with_frames(clip.frames[0:MAX_HTML_FRAMES])
    side = min(MAX_HTML_SIDE, max(clip.width, clip.height))
    while True:
        small = _scaled(preview, side).with_frames(_scaled(preview, side).frames, audio=None)
        text = _video_element(clip, small)
        if len(text) <= max_bytes:
            return text
        if side <= 64:
            raise RequestError(
                f"a preview of {clip!r} does not fit into {max_bytes} bytes; save it as a file"
            )
        side //= 2


def _video_element(clip: Clip, small: Clip) -> str:
    with tempfile.TemporaryDirectory() as folder:
        data = write(small, Path(folder) / "clip.mp4", crf=PREVIEW_CRF).read_bytes()
    caption = repr(clip)
    if small.num_frames < clip.num_frames:
        caption += f"; the first {small.num_frames} frames are shown"
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><video controls loop autoplay muted playsinline width="{small.width}" '
        f'height="{small.height}" src="data:video/mp4;base64,{encoded}"></video>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def thumbnail(clip: Clip, *, max_side: int = 256) -> Image:
    """The frame in the middle of the clip, no side longer than `max_side`."""
    return Image(_miniature(clip, clip.num_frames // 2, max_side))


def _miniature(clip: Clip, number: int, max_side: int) -> Pixels:
    frame = clip.frames[number : number + 1][0]
    return np.ascontiguousarray(
        resize(np.ascontiguousarray(frame), *_within(clip.width, clip.height, max_side))
    )


def contact_sheet(
    clips: Sequence[Clip], labels: Sequence[str] = (), *, num_columns: int = 6, max_side: int = 192
) -> Image:
    """One row a clip, its label above, frames evenly spread from the first to the last.

    Raises: RequestError without clips, or with another number of labels than of clips.
    """
    if not clips:
        raise RequestError("a contact sheet needs at least one clip")
    if labels and len(labels) != len(clips):
        raise RequestError(f"{len(clips)} clips need {len(clips)} labels, not {len(labels)}")
    rows = []
    for clip, label in zip(clips, labels or [""] * len(clips), strict=True):
        count = min(num_columns, clip.num_frames)
        numbers = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
        tiles = [_miniature(clip, int(number), max_side) for number in numbers]
        row = np.concatenate(
            [np.pad(t, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=BACKGROUND) for t in tiles], 1
        )
        rows.extend([_lettering(label, row.shape[1]), row] if label else [row])
    width = max(row.shape[1] for row in rows)
    filled = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=BACKGROUND) for row in rows
    ]
    return Image(np.concatenate(filled))


def _lettering(label: str, width: int) -> Pixels:
    """A line of text as pixels, cut at `width`."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    font = _font(16)
    line: Any = Pillow.new("RGB", (width, 24), (BACKGROUND,) * 3)
    ImageDraw.Draw(line).text((GAP, 2), " ".join(label.split()), fill=(INK,) * 3, font=font)
    return np.asarray(line)


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
