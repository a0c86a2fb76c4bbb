"""Between FFmpeg's frames and upright sRGB arrays: matrices, ranges, alpha, orientation, pixel shape.

The rule of colours: a frame's own tags; where it has none, BT.709 from 720 lines on and BT.601 below, as
players do. HDR (PQ, HLG) is brought to sRGB (`_hdr`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vitascope.errors import InvalidMedia
from vitascope.media import _hdr

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

    from vitascope.clip import Pixels

HD_LINES = 720
# Source: ITU-T H.273, code point of the matrix coefficients.
UNSPECIFIED = 2


@dataclass(frozen=True)
class Orientation:
    """How stored frames must be turned to be seen upright: transpose first, then flip."""

    transposed: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @property
    def degrees_clockwise(self) -> int:
        """The turn that the file asks for, mirroring left aside."""
        if not self.transposed:
            return 180 if self.flip_rows else 0
        return 270 if self.flip_rows else 90

    def upright(self, frame: Pixels) -> Pixels:
        """Turn one frame. Shape: (H, W, C) to (H, W, C) or (W, H, C)."""
        if self.transposed:
            frame = frame.swapaxes(0, 1)
        if self.flip_columns:
            frame = frame[:, ::-1]
        return frame[::-1] if self.flip_rows else frame


def orientation_of(frame: VideoFrame, path: object) -> Orientation:
    """What the frame's display matrix asks for. Raises: InvalidMedia for other than quarter turns.

    Source: ISO/IEC 14496-12 section 6.2.2 (the matrix), FFmpeg libavutil/display.h (its layout).
    """
    from av.sidedata.sidedata import Type

    attached = cast(Any, frame.side_data)
    matrix = next((data for data in attached if data.type == Type.DISPLAYMATRIX), None)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(matrix, np.uint8)[:20].view(np.int32).tolist()
    if a == d == 0 and b and c:
        return Orientation(True, flip_columns=c < 0, flip_rows=b < 0)
    if b == c == 0 and a and d:
        return Orientation(False, flip_columns=a < 0, flip_rows=d < 0)
    raise InvalidMedia(
        f"{str(path)!r} is to be shown turned by {frame.rotation} degrees; only quarter turns can be"
    )


def may_have_alpha(frame: VideoFrame) -> bool:
    """Whether the frame's format has room for transparent pixels."""
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


def has_alpha(frame: VideoFrame) -> bool:
    """Whether some pixel of the frame is transparent."""
    if not may_have_alpha(frame):
        return False
    return bool(frame.to_ndarray(format="rgba")[..., 3].min() < 255)


def is_hdr(frame: VideoFrame) -> bool:
    """Whether the frame's brightness is coded as PQ or HLG."""
    return frame.color_trc in (_hdr.PQ, _hdr.HLG)


def square_width(width: int, pixel_shape: Fraction | None) -> int:
    """The width that a frame has once its pixels are square."""
    return max(1, round(width * pixel_shape)) if pixel_shape else width


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter, width: int) -> Pixels:
    """One decoded frame as sRGB, `width` wide, transparent pixels over black. Shape: (H, width, 3) uint8."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    untagged_hd = frame.colorspace == UNSPECIFIED and frame.height >= HD_LINES
    over_black = may_have_alpha(frame)
    converted = reformatter.reformat(
        frame,
        width=width,
        format="rgba" if over_black else "rgb48le" if is_hdr(frame) else "rgb24",
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
    )
    if is_hdr(frame) and not over_black:
        return _hdr.to_srgb(converted.to_ndarray().astype(np.uint16, copy=False), frame.color_trc)
    pixels = converted.to_ndarray().astype(np.uint8, copy=False)
    return over(pixels[..., :3], pixels[..., 3]) if over_black else pixels


def over(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Pixels of a given opacity over black, rounded to nearest."""
    product = pixels.astype(np.uint16) * alpha[..., None]
    return ((product + 127) // 255).astype(np.uint8)


def to_yuv420(frame: Pixels, reformatter: VideoReformatter) -> VideoFrame:
    """An even-sized sRGB frame as limited-range BT.709 with shared chroma."""
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    return reformatter.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.FULL_CHR_H_INP,
    )
