"""The maths of fitting one rectangle into another: sizes, boxes, and the maps between their coordinates.

Pure arithmetic on fractions, so that every map has an exact inverse and the same scale on both axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from vitascope.errors import UnsupportedTask

if TYPE_CHECKING:
    from vitascope.clip import Pixels

Fill = Literal["black", "blur", "mirror"]

# A picture thinner than this inside its canvas has no content left that a model could use, nor rows enough
# to tell its border by (`vitascope.media.borders`).
MIN_INNER_SIDE = 20


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels. Units: pixels; may be fractions of one, where a picture is resampled."""

    left: Fraction | int
    top: Fraction | int
    width: Fraction | int
    height: Fraction | int

    @property
    def right(self) -> Fraction | int:
        return self.left + self.width

    @property
    def bottom(self) -> Fraction | int:
        return self.top + self.height

    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of a whole-pixel box, to index an array with."""
        return slice(int(self.top), int(self.bottom)), slice(int(self.left), int(self.right))


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies inside a canvas of another shape.

    `inner` is where it lies, of even size. `source` is the part of the picture that is shown, of exactly the
    same shape, so that no pixel is stretched: what is cut off one axis is no larger a part of it than one
    pixel is of the shorter side of `inner`.
    """

    canvas_width: int
    canvas_height: int
    source: Box
    inner: Box

    @property
    def scale(self) -> Fraction:
        """Pixels of the canvas for one pixel of the picture, on both axes."""
        return Fraction(self.inner.width) / Fraction(self.source.width)

    def to_canvas(self, x: Fraction, y: Fraction) -> tuple[Fraction, Fraction]:
        """The point of the canvas that shows the picture's point (x, y)."""
        return (
            self.inner.left + (x - self.source.left) * self.scale,
            self.inner.top + (y - self.source.top) * self.scale,
        )

    def to_source(self, x: Fraction, y: Fraction) -> tuple[Fraction, Fraction]:
        """The point of the picture shown at the canvas's point (x, y); the exact inverse of `to_canvas`."""
        return (
            self.source.left + (x - self.inner.left) / self.scale,
            self.source.top + (y - self.inner.top) / self.scale,
        )


def nearest_even(value: Fraction | float) -> int:
    """The even number nearest to `value`, at least 2."""
    return max(2, 2 * round(Fraction(value) / 2))


def even_size(width: int, height: int) -> tuple[int, int]:
    """The size with odd sides made one longer, as video codecs with shared chroma need."""
    return width + width % 2, height + height % 2


def fit(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """The largest even size of the shape `width` x `height` inside the other; one side fills it exactly.

    The other side is within one pixel of the true shape. Range: the outer sides are even.
    """
    if width * max_height >= height * max_width:
        return max_width, min(max_height, nearest_even(Fraction(max_width * height, width)))
    return min(max_width, nearest_even(Fraction(max_height * width, height))), max_height


def shrunk(box: Box, width: int, height: int, cut: tuple[int, int, int, int]) -> Box:
    """The largest even box of the shape `width` x `height` inside `box` after `cut` pixels are lost.

    `cut` is (left, top, right, bottom). Centred in what remains; whole pixels.
    """
    left, top, right, bottom = cut
    room_width = int(box.width) - left - right
    room_height = int(box.height) - top - bottom
    new_width, new_height = fit(width, height, room_width - room_width % 2, room_height - room_height % 2)
    return Box(
        int(box.left) + left + (room_width - new_width) // 2,
        int(box.top) + top + (room_height - new_height) // 2,
        new_width,
        new_height,
    )


def letterbox(width: int, height: int, canvas_width: int, canvas_height: int) -> Letterbox:
    """How a picture of `width` x `height` lies in the middle of a canvas, as large as fits.

    Raises: UnsupportedTask for an odd canvas, or a picture so thin that nothing of it would be left.
    """
    if canvas_width % 2 or canvas_height % 2:
        raise UnsupportedTask(
            f"a canvas of {canvas_width}x{canvas_height} has an odd side; "
            f"use {canvas_width + canvas_width % 2}x{canvas_height + canvas_height % 2}"
        )
    inner_width, inner_height = fit(width, height, canvas_width, canvas_height)
    if min(inner_width, inner_height) < min(MIN_INNER_SIDE, canvas_width, canvas_height):
        raise UnsupportedTask(
            f"a picture of {width}x{height} would be only {min(inner_width, inner_height)} pixels thin "
            f"on a canvas of {canvas_width}x{canvas_height}; crop it to a shape nearer to the canvas"
        )
    inner = Box(
        (canvas_width - inner_width) // 2, (canvas_height - inner_height) // 2, inner_width, inner_height
    )
    return Letterbox(canvas_width, canvas_height, same_shape_within(width, height, inner), inner)


def same_shape_within(width: int, height: int, shape: Box) -> Box:
    """The largest box of exactly the shape of `shape` in the middle of `width` x `height`."""
    wanted = Fraction(shape.width) / Fraction(shape.height)
    shown_width = min(Fraction(width), height * wanted)
    shown_height = shown_width / wanted
    return Box((width - shown_width) / 2, (height - shown_height) / 2, shown_width, shown_height)


def resize(frame: Pixels, width: int, height: int, source: Box | None = None) -> Pixels:
    """One frame, or the part `source` of it, at another size: area average down, Lanczos up.

    Shape: (H, W, 3) or (H, W) uint8 to (height, width, 3) or (height, width).
    """
    import numpy as np
    from PIL import Image as Pillow

    part = source or Box(0, 0, frame.shape[1], frame.shape[0])
    smaller = width <= part.width and height <= part.height
    filter_ = Pillow.Resampling.BOX if smaller else Pillow.Resampling.LANCZOS
    corners = (float(part.left), float(part.top), float(part.right), float(part.bottom))
    return np.asarray(Pillow.fromarray(frame).resize((width, height), filter_, box=corners))


def on_canvas(frame: Pixels, box: Letterbox, fill: Fill = "black") -> Pixels:
    """One frame on its canvas, the rest filled with black, a blurred enlargement, or its mirror image.

    Shape: (H, W, 3) or (H, W) uint8 to (canvas_height, canvas_width, ...).
    """
    import numpy as np

    inner = resize(frame, int(box.inner.width), int(box.inner.height), box.source)
    left, top = int(box.inner.left), int(box.inner.top)
    right = box.canvas_width - left - int(box.inner.width)
    bottom = box.canvas_height - top - int(box.inner.height)
    around = [(top, bottom), (left, right)] + [(0, 0)] * (frame.ndim - 2)
    if fill == "mirror":
        return np.pad(inner, around, mode="symmetric")
    if fill == "black":
        return np.pad(inner, around)
    canvas: Pixels = _blurred_cover(inner, box.canvas_width, box.canvas_height)
    canvas[box.inner.slices()] = inner
    return canvas


def _blurred_cover(frame: Pixels, width: int, height: int) -> Pixels:
    """The frame enlarged until it covers the canvas, blurred until no detail competes with the original."""
    import cv2
    import numpy as np

    covered = same_shape_within(frame.shape[1], frame.shape[0], Box(0, 0, width, height))
    enlarged = resize(frame, width, height, covered)
    return np.asarray(cv2.GaussianBlur(enlarged, (0, 0), sigmaX=max(width, height) / 40), np.uint8)
