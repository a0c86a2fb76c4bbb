"""The frames of a video file, decoded when they are sliced."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from vitascope.errors import InvalidMedia
from vitascope.media._colour import has_alpha, is_hdr, orientation_of, square_width, to_rgb
from vitascope.media._containers import FrameIndex, check_size, reason
from vitascope.media._decoder import Decoder
from vitascope.media.frames import StoredFrames

if TYPE_CHECKING:
    from av import VideoFrame

    from vitascope.clip import Pixels

RECENT_BYTES = 64 * 2**20


class VideoFrames(StoredFrames):
    """A reader with constant memory: keeps an open decoder and the frames last decoded (64 MiB at most).

    Slices that follow each other, also with an overlap, decode each frame once. Thread-safe.
    """

    def __init__(self, index: FrameIndex) -> None:
        from av.video.reformatter import VideoReformatter

        self._index = index
        self._decoder = Decoder(index)
        self._reformatter = VideoReformatter()
        self._recent: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = threading.RLock()
        first = self._decoder.frame(0)
        self._stored_size = (first.width, first.height)
        self.orientation = orientation_of(first, index.path)
        self._recent[0] = self._upright(first)
        self.has_alpha = has_alpha(first)
        self.is_hdr = is_hdr(first)
        height, width = self._recent[0].shape[:2]
        check_size(width, height, index.path)
        self._shape = (index.num_frames, height, width, 3)

    def __reduce__(self) -> tuple[Any, ...]:
        return VideoFrames, (self._index,)

    def _decode(self, start: int, into: Pixels) -> None:
        with self._lock:
            for at in range(len(into)):
                into[at] = self._rgb(start + at)

    def count_readable(self) -> int:
        """How many frames can be decoded, of a file that is damaged at its end."""
        with self._lock:
            return self._decoder.count_readable()

    def _rgb(self, number: int) -> Pixels:
        if number in self._recent:
            self._recent.move_to_end(number)
            return self._recent[number]
        upright = self._upright(self._decoder.frame(number))
        self._recent[number] = upright
        while len(self._recent) > 1 and len(self._recent) * upright.nbytes > RECENT_BYTES:
            self._recent.popitem(last=False)
        return upright

    def _upright(self, frame: VideoFrame) -> Pixels:
        import av

        if (frame.width, frame.height) != self._stored_size:
            was = "{}x{}".format(*self._stored_size)
            raise InvalidMedia(
                f"{str(self._index.path)!r} changes its size from {was} to {frame.width}x{frame.height} "
                "on its way; convert it to one size"
            )
        width = square_width(frame.width, self._index.pixel_shape)
        try:
            pixels = to_rgb(frame, self._reformatter, width)
        except av.error.FFmpegError as error:
            raise InvalidMedia(
                f"{str(self._index.path)!r} has colours ({frame.format.name}) that cannot be shown "
                f"({reason(error)}); convert it to H.264"
            ) from error
        return self.orientation.upright(pixels)
