"""Decoded frames of a video file by their number: forwards without decoding twice, backwards by seeking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitascope.errors import InvalidMedia
from vitascope.media._containers import FileIdentity, FrameIndex, open_container, video_stream

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer


class Decoder:
    """An open file, and where it stands in it. Not thread-safe."""

    def __init__(self, index: FrameIndex) -> None:
        self._index = index
        self._container: InputContainer | None = None
        self._frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = 0
        self._landed: int | None = None

    def frame(self, number: int) -> VideoFrame:
        """Stored frame `number` (display order). Raises: InvalidMedia if it cannot be decoded."""
        behind = number < self._next
        ahead_of_a_keyframe = self._index.keyframe_before(number) > self._next
        if self._container is None or behind or ahead_of_a_keyframe:
            self._seek(self._index.keyframe_before(number))
        found = self._advance_to(number)
        landed_late = self._landed is None or self._landed > number
        if (
            found is None and landed_late
        ):  # some containers do not reach the key frame that they were asked for
            self._start_at(0)
            found = self._advance_to(number)
        if found is None:
            raise self._unreadable(number)
        return found

    def count_readable(self) -> int:
        """How many frames from the first on can be decoded; decodes no more than the last group of them."""
        last = int(self._index.keyframes[-1]) if len(self._index.keyframes) else 0
        for number in range(last, self._index.num_frames):
            try:
                self.frame(number)
            except InvalidMedia:
                return number
        return self._index.num_frames

    def close(self) -> None:
        """Close the file; the next frame opens it again."""
        if self._container is not None:
            self._container.close()
        self._container, self._frames, self._next = None, iter(()), 0

    def _advance_to(self, number: int) -> VideoFrame | None:
        import av

        try:
            for at, frame in self._frames:
                self._next = at + 1
                self._landed = at if self._landed is None else self._landed
                if at == number and not frame.is_corrupt:
                    return frame
                if at >= number:
                    return None
        except av.error.FFmpegError:
            pass
        self._frames = iter(())
        return None

    def _seek(self, keyframe: int) -> None:
        import av

        try:
            self._start_at(keyframe)
        except av.error.FFmpegError:
            self._start_at(0)

    def _start_at(self, keyframe: int) -> None:
        can_seek = keyframe > 0 and not self._index.counted
        if self._container is None or not can_seek:
            self.close()
            self._container = self._reopened()
        if can_seek:
            stream = video_stream(self._container, self._index.path)
            self._container.seek(int(self._index.pts[keyframe]), stream=stream)
        self._next, self._landed = keyframe, None
        self._frames = self._numbered(self._container)

    def _reopened(self) -> InputContainer:
        path = self._index.path
        container = open_container(path)
        if FileIdentity.of(path) != self._index.identity:
            container.close()
            raise InvalidMedia(f"{str(path)!r} changed after it was opened; read it again")
        codec = video_stream(container, path).codec_context
        codec.thread_type = "AUTO"
        if codec.codec.intra_only:  # others refer to missing frames after a seek, which is no damage
            codec.options = {"err_detect": "explode"}
        return container

    def _numbered(self, container: InputContainer) -> Iterator[tuple[int, VideoFrame]]:
        stream = video_stream(container, self._index.path)
        for count, frame in enumerate(container.decode(stream)):
            if self._index.counted:
                yield count, frame
            elif frame.pts is not None:
                number = int(np.searchsorted(self._index.pts, frame.pts))
                if number < self._index.num_frames and self._index.pts[number] == frame.pts:
                    yield number, frame

    def _unreadable(self, number: int) -> InvalidMedia:
        self.close()
        path: Path = self._index.path
        return InvalidMedia(
            f"{str(path)!r} is damaged: {number} of {self._index.num_frames} frames could be read; "
            "get the whole file"
        )
