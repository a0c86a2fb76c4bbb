"""The mark that a viewer sees: white on a dark plate in a corner of a video's first seconds, or of a picture.

Source: GB 45438-2025, explicit label of videos and pictures: text that names AI and generation, at least 5 % of the
shorter side high, at the start picture, for at least 2 seconds at normal speed. 16 pixels as the floor are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np

from vitascope.clip import Clip, FrameReader, Pixels

TEXT = "AI生成"
SHARE, SMALLEST_PX, SECONDS = 0.05, 16, 2
PLATE, INK = 24, 255
LIKENESS = 24.0  # mean absolute difference of 8-bit values up to which a plate counts as there, after a codec


def text_height(width: int, height: int) -> int:
    """How high the text must be. Units: pixels."""
    return max(math.ceil(SHARE * min(width, height)), SMALLEST_PX)


@lru_cache(maxsize=32)
def plate(width: int, height: int) -> tuple[Pixels, int, int]:
    """The mark for pictures of this size, and the row and column of its corner.

    Opaque, so that to mark a marked picture again changes nothing. Frames too small for it get the largest
    that fits. Shape: (h, w, 3).
    """
    from PIL import Image, ImageDraw

    ink = _ink(text_height(width, height))
    margin, padding = ink.height // 2, max(2, ink.height // 4)
    picture = Image.new("L", (ink.width + 2 * padding, ink.height + 2 * padding), PLATE)
    ImageDraw.Draw(picture).bitmap((padding, padding), ink, fill=INK)
    room_w, room_h = max(1, width - margin), max(1, height - margin)
    if picture.width > room_w or picture.height > room_h:
        scale = min(width / picture.width, height / picture.height, 1.0)
        margin = min(margin, width - int(picture.width * scale), height - int(picture.height * scale))
        size = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    grey = np.asarray(picture)
    return np.repeat(grey[..., None], 3, axis=2), max(0, margin), max(0, margin)


def _ink(height: int):  # type: ignore[no-untyped-def]  # a Pillow image, which is imported late
    """The text, its ink at least `height` pixels high."""
    from PIL import Image, ImageDraw, ImageFont

    with as_file(files("vitascope.labels") / "font" / "label.otf") as font_file:
        for size in range(height, 3 * height):
            font = ImageFont.truetype(str(font_file), size)
            left, top, right, bottom = font.getbbox(TEXT)
            drawn = Image.new("L", (int(right - left), int(bottom - top)), 0)
            ImageDraw.Draw(drawn).text((-left, -top), TEXT, fill=255, font=font)
            # rows that are bright somewhere: what a viewer sees of it, without the soft edge
            if (np.asarray(drawn).max(axis=1) > 200).sum() >= height:
                break
    return drawn


def mark(pixels: Pixels) -> Pixels:
    """A copy of a picture with the mark on it. Shape: (H, W, 3)."""
    mark_, row, column = plate(pixels.shape[1], pixels.shape[0])
    marked = np.array(pixels)
    marked[row : row + mark_.shape[0], column : column + mark_.shape[1]] = mark_
    return marked


def is_marked(pixels: Pixels) -> bool:
    """Whether the mark stands on a picture where `mark` puts it."""
    mark_, row, column = plate(pixels.shape[1], pixels.shape[0])
    there = pixels[row : row + mark_.shape[0], column : column + mark_.shape[1]]
    return float(np.abs(there.astype(int) - mark_).mean()) < LIKENESS


def num_marked(clip: Clip) -> int:
    """How many frames from the first on carry the mark when the clip is written."""
    return min(clip.num_frames, math.ceil(SECONDS * clip.fps))


@dataclass(frozen=True, eq=False)
class MarkedFrames:
    """Frames of which the first `count` are marked when they are sliced."""

    frames: Pixels | FrameReader
    count: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, H, W, 3)."""
        return self.frames.shape

    def __getitem__(self, index: slice) -> Pixels:
        """The frames of a slice with step 1."""
        frames = np.array(self.frames[index])
        start = index.indices(self.shape[0])[0]
        for number in range(start, min(self.count, start + len(frames))):
            frames[number - start] = mark(frames[number - start])
        return frames


def with_mark(clip: Clip) -> Clip:
    """The clip as it is written: marked if its recipe says that it is labelled."""
    if clip.recipe.labels.aigc is None:
        return clip
    return clip.with_frames(MarkedFrames(clip.frames, num_marked(clip)), mask=clip.mask)
