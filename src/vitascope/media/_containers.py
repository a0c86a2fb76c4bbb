"""Opening a video file, and the index of its frames: when each appears and from where it can be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitascope.errors import InvalidMedia, NotFound, ResourceError
from vitascope.media._wholeness import is_cut_short

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Only files that hold their own frames: playlists (HLS, DASH, concat) would let an uploaded file name others.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,apng,flv,asf,ogg,mxf,h264,hevc,ivf,y4m,nut"
)
# 2**31 bytes of RGB: what Pillow too refuses as a decompression bomb is well below.
MAX_PIXELS = 178_956_970
SMALLEST_MISSING_END_S = 0.25
WITHOUT_A_STATED_RATE = {"gif", "apng"}


@dataclass(frozen=True)
class FileIdentity:
    """Tells whether a path still leads to the file that was indexed."""

    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        """The identity of the file at `path` now."""
        stat = path.stat()
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """What was learnt of a video file by walking through its packets once, decoding none.

    Shape: pts (n,) in display order; keyframes (k,) positions in it from which decoding can start.
    `counted` files carry no usable time stamps: frames are known by their number from the start.
    """

    path: Path
    identity: FileIdentity
    container: str
    codec: str
    width: int
    height: int
    pixel_shape: Fraction | None
    time_base: Fraction
    stated_rate: Fraction | None
    pts: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    end_pts: int
    counted: bool
    cut_short: bool
    has_audio: bool
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        return len(self.pts)

    def times_s(self) -> NDArray[np.float64]:
        """When each frame appears, from the first on. Units: seconds."""
        return (self.pts - self.pts[0]) * float(self.time_base)

    @property
    def duration_s(self) -> float:
        return float((self.end_pts - int(self.pts[0])) * self.time_base)

    def keyframe_before(self, index: int) -> int:
        """The last position at or before `index` from which decoding can start."""
        at = int(np.searchsorted(self.keyframes, index, side="right")) - 1
        return int(self.keyframes[at]) if at >= 0 else 0


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The container at `path`, closed at the end. Raises: NotFound, InvalidMedia, ResourceError."""
    container = open_container(path)
    try:
        yield container
    finally:
        container.close()


def open_container(path: Path) -> InputContainer:
    """The container at `path`. Raises: NotFound, InvalidMedia, ResourceError."""
    import av

    require_file(path)
    if path.stat().st_size == 0:
        raise InvalidMedia(f"{str(path)!r} is empty (0 bytes); get the file again")
    limits = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        return av.open(f"file:{path}", options=limits, metadata_errors="replace")
    except av.error.FFmpegError as error:
        if is_cut_short(path):
            raise InvalidMedia(
                f"{str(path)!r} is cut short before its index: 0 frames could be read; get the whole file"
            ) from error
        raise InvalidMedia(f"{str(path)!r} is not a video that can be read ({reason(error)})") from error


def require_file(path: Path) -> None:
    """Raises: NotFound if there is no file at `path`, ResourceError if it may not be read."""
    if not path.exists():
        raise NotFound(f"no file at {str(path)!r}")
    if not path.is_file():
        raise InvalidMedia(f"{str(path)!r} is not a file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ResourceError(f"cannot read {str(path)!r}: {error.strerror}") from error


def reason(error: av.error.FFmpegError) -> str:
    """FFmpeg's complaint in a few words."""
    log = getattr(error, "log", None)
    said = log[2] if log else error.strerror
    return " ".join(str(said).split())[:120]


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream of moving pictures. Raises: InvalidMedia if there is none that can be decoded."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise InvalidMedia(f"{str(path)!r} holds no moving picture")
    stream = streams[0]
    if stream.codec_context is None:
        raise InvalidMedia(f"{str(path)!r} is in a codec that cannot be decoded; convert it to H.264")
    check_size(stream.width, stream.height, path)
    return stream


def check_size(width: int, height: int, path: Path) -> None:
    """Raises: InvalidMedia for a picture without a size, or one that would fill the memory."""
    if width < 1 or height < 1:
        raise InvalidMedia(f"{str(path)!r} has frames of {width}x{height}")
    if width * height > MAX_PIXELS:
        raise InvalidMedia(
            f"{str(path)!r} is {width}x{height}; more than {MAX_PIXELS // 10**6} million pixels are refused"
        )


def index_frames(path: Path) -> FrameIndex:
    """Walk through the packets of a video file and note when each frame appears.

    Raises: NotFound, InvalidMedia.
    """
    identity = FileIdentity.of(path) if path.exists() else None
    with opened(path) as container:
        assert identity is not None, "opened() refuses a missing file"
        stream = video_stream(container, path)
        name = container.format.name
        packets = _walk(container, stream)
        made_up = name == "avi" and stream.codec_context.has_b_frames
        counted = made_up or not packets.pts or packets.without_pts > 0
        if counted:
            packets = _count_by_decoding(path)
        pts = packets.decodable()
        if not len(pts):
            raise InvalidMedia(f"{str(path)!r} holds no frame that could be read")
        rate = stream.average_rate or stream.guessed_rate
        time_base = 1 / (rate or Fraction(25)) if counted else stream.time_base
        return FrameIndex(
            path=path,
            identity=identity,
            container=name,
            codec=stream.codec_context.name,
            width=stream.width,
            height=stream.height,
            pixel_shape=stream.sample_aspect_ratio or None,
            time_base=time_base or Fraction(1, 1000),
            stated_rate=None if name in WITHOUT_A_STATED_RATE else rate,
            pts=pts,
            keyframes=np.searchsorted(pts, np.unique(np.array(packets.keyframe_pts, np.int64))),
            end_pts=_end(packets, pts),
            counted=counted,
            cut_short=packets.broken or is_cut_short(path) or _ends_early(container, packets),
            has_audio=bool(container.streams.audio),
            metadata=dict(container.metadata),
        )


@dataclass
class _Packets:
    pts: list[int] = field(default_factory=list)
    keyframe_pts: list[int] = field(default_factory=list)
    latest: int | None = None
    last_duration: int = 0
    without_pts: int = 0
    broken: bool = False
    end_s: float = 0.0  # of all streams

    def decodable(self) -> NDArray[np.int64]:
        """The time stamps in order, from the first key frame on: recordings may start in between."""
        pts = np.unique(np.array(self.pts, np.int64))
        return pts[pts >= min(self.keyframe_pts)] if self.keyframe_pts else pts


def _walk(container: InputContainer, stream: VideoStream) -> _Packets:
    import av

    seen = _Packets()
    hides_frames = stream.codec_context.name == "vp8"
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                seen.end_s = max(seen.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not stream or packet.size == 0 or packet.is_discard:
                continue
            if not (hides_frames and _is_hidden_vp8(packet)):
                _note(packet, seen)
    except av.error.FFmpegError:
        seen.broken = True
    return seen


def _note(packet: Any, seen: _Packets) -> None:
    seen.broken |= packet.is_corrupt
    if packet.pts is None:
        seen.without_pts += 1
        return
    if seen.latest is None or packet.pts > seen.latest:
        seen.latest, seen.last_duration = packet.pts, packet.duration or 0
    seen.pts.append(packet.pts)
    if packet.is_keyframe:
        seen.keyframe_pts.append(packet.pts)


def _ends_early(container: InputContainer, packets: _Packets) -> bool:
    """Whether a Matroska or WebM file says that it is longer than what was found in it."""
    if "matroska" not in container.format.name or not container.duration:
        return False
    missing_s = container.duration / 1_000_000 - packets.end_s
    return missing_s > max(SMALLEST_MISSING_END_S, 0.01 * packets.end_s)


def _is_hidden_vp8(packet: Any) -> bool:
    """Whether a VP8 packet only feeds later frames. Source: RFC 6386 section 9.1, the show_frame bit."""
    return not bytes(memoryview(packet)[:1])[0] & 0x10


def _count_by_decoding(path: Path) -> _Packets:
    import av

    seen = _Packets(last_duration=1, keyframe_pts=[0])
    with opened(path) as container:
        try:
            for _ in container.decode(video_stream(container, path)):
                seen.pts.append(len(seen.pts))
        except av.error.FFmpegError:
            seen.broken = True
    return seen


def _end(packets: _Packets, pts: NDArray[np.int64]) -> int:
    duration = packets.last_duration
    if duration <= 0 and len(pts) > 1:
        duration = int(np.median(np.diff(pts)))
    return int(pts[-1]) + duration
