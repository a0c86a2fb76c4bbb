"""Sound out of a file and into one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Audio
from vitascope.errors import DiskFull, InvalidMedia
from vitascope.media._containers import opened, reason

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

# Longer sound is kept in an unnamed temporary file and paged in as it is used.
IN_MEMORY_BYTES = 64 * 2**20
# Time stamps may wobble by this much before silence is put in.
SMALLEST_GAP_S = 0.05
LARGEST_GAP_S = 3600
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# Source: ISO/IEC 14496-3, sampling frequency table; RFC 6716 section 2 for Opus.
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
BITS_A_SECOND_A_CHANNEL = 96_000
CHUNK_S = 0.5


def read_sound(path: Path, from_s: float) -> Audio | None:
    """The first sound track from the moment `from_s` of the file on, silence where it has none.

    Raises: InvalidMedia if it cannot be decoded.
    """
    import av

    with opened(path) as container:
        if not container.streams.audio or container.streams.audio[0].codec_context is None:
            return None
        stream = container.streams.audio[0]
        rate = stream.rate
        with tempfile.TemporaryFile() as spool:
            channels = 0
            try:
                for samples in _placed(container.decode(stream), rate, from_s):
                    channels = samples.shape[1]
                    spool.write(samples.tobytes())
            except av.error.FFmpegError as error:
                raise InvalidMedia(
                    f"the sound of {str(path)!r} cannot be decoded ({reason(error)}); "
                    "get the whole file, or remove its sound"
                ) from error
            except OSError as error:
                raise DiskFull(
                    f"no room in {tempfile.gettempdir()!r} for the sound of {str(path)!r}"
                ) from error
            return Audio(_samples(spool, channels), rate) if channels else None


def _placed(frames: Iterator[Any], rate: int, from_s: float) -> Iterator[NDArray[np.float32]]:
    """Decoded sound as (n, channels), cut at `from_s`, with silence in its gaps."""
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler(format="flt", rate=rate)
    written = 0
    for decoded in frames:
        for frame in resampler.resample(decoded):
            samples = frame.to_ndarray().reshape(frame.samples, -1).astype(np.float32, copy=False)
            starts = written if frame.time is None else round((frame.time - from_s) * rate)
            gap = starts - written
            if gap > LARGEST_GAP_S * rate:
                raise InvalidMedia(f"the sound has a hole of {gap / rate:.0f} s; its times are damaged")
            if gap > SMALLEST_GAP_S * rate or (written == 0 and gap > 0):
                yield np.zeros((gap, samples.shape[1]), np.float32)
                written += gap
            elif written == 0 and gap < 0:
                samples = samples[-gap:]
            written += len(samples)
            yield samples


def _samples(spool: Any, channels: int) -> NDArray[np.float32]:
    size = spool.tell()
    if size <= IN_MEMORY_BYTES:
        spool.seek(0)
        flat = np.frombuffer(spool.read(), np.float32)
    else:
        spool.flush()
        flat = np.memmap(spool, np.float32, mode="r", shape=(size // 4,))
    return flat.reshape(-1, channels).T


class SoundTrack:
    """A clip's sound on its way into a container, in step with the frames."""

    def __init__(self, container: OutputContainer, codec: str, audio: Audio, duration_s: float) -> None:
        channels = len(audio.samples)
        if audio.samples.ndim != 2 or channels not in LAYOUTS:
            raise InvalidMedia(
                f"sound must have shape (channels, n) with 1..8 channels, not {audio.samples.shape}"
            )
        self._container, self._audio = container, audio
        self._layout = LAYOUTS[channels]
        self._stop = min(audio.samples.shape[1], round(duration_s * audio.sample_rate))
        rates = OPUS_RATES if codec == "libopus" else AAC_RATES
        rate = min((r for r in rates if r >= audio.sample_rate), default=rates[-1])
        self._stream = cast("AudioStream", container.add_stream(codec, rate=rate, layout=self._layout))
        self._stream.bit_rate = BITS_A_SECOND_A_CHANNEL * channels
        self._written = 0

    @property
    def cut_s(self) -> float:
        """How much of the sound goes on after the last frame and is not written. Units: seconds."""
        return (self._audio.samples.shape[1] - self._stop) / self._audio.sample_rate

    def write_until(self, time_s: float) -> None:
        """Encode the sound up to a moment of the clip."""
        stop = min(self._stop, round(time_s * self._audio.sample_rate))
        chunk = max(1, round(CHUNK_S * self._audio.sample_rate))
        while self._written < stop:
            end = min(self._written + chunk, stop)
            self._encode(self._audio.samples[:, self._written : end])
            self._written = end

    def finish(self) -> None:
        """Encode the rest and empty the encoder."""
        self.write_until(self._stop / self._audio.sample_rate)
        self._container.mux(self._stream.encode(None))

    def _encode(self, samples: NDArray[np.float32]) -> None:
        from av import AudioFrame

        clean = np.ascontiguousarray(np.clip(samples, -1, 1), np.float32)
        frame = AudioFrame.from_ndarray(clean, format="fltp", layout=self._layout)
        frame.sample_rate = self._audio.sample_rate
        frame.pts = self._written
        frame.time_base = Fraction(1, self._audio.sample_rate)
        self._container.mux(self._stream.encode(frame))
