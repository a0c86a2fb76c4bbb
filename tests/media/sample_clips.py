"""Files as other programs write them, made small with PyAV and Pillow."""

from fractions import Fraction

import av
import numpy as np

from vitascope.clip import Audio


def numbered_frames(count, height=32, width=48):
    """Frames whose number can be read back after lossy coding: 12 bits as black and white blocks."""
    x = np.arange(width)
    frames = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        bits = (number >> (x * 12 // width)) & 1
        frames[number] = (bits * 200 + 28)[..., None]
        frames[number, height // 2 :, :, 1] = 128
    return frames


def read_number(frame):
    """The number that `numbered_frames` put into a frame."""
    height, width, _ = frame.shape
    total = 0
    for bit in range(12):
        left, right = bit * width // 12, (bit + 1) * width // 12
        if frame[: height // 2, left:right, 0].mean() > 128:
            total |= 1 << bit
    return total


def tone(duration_s, rate=48000, channels=2, click_at_s=None):
    """A sine, or silence with one click."""
    time = np.arange(round(duration_s * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * time)
    if click_at_s is not None:
        wave = np.where(np.abs(time - click_at_s) < 0.005, 0.9 * np.sin(2 * np.pi * 2000 * time), 0)
    return Audio(np.repeat(wave[None].astype(np.float32), channels, axis=0), rate)


def encode(
    path,
    frames,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    times=None,
    time_base=Fraction(1, 1000),
    fps=24,
    prepare=None,
    audio=None,
    **options,
):
    """Write frames with PyAV as other programs do; `times` in ticks of `time_base` for variable rates."""
    with av.open(str(path), "w", options=options.pop("container_options", {})) as container:
        stream = container.add_stream(codec, rate=fps, options=options.pop("codec_options", {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = time_base
        if prepare is not None:
            prepare(stream)
        sound = None
        if audio is not None:
            sound = container.add_stream("aac", rate=audio.sample_rate, layout="stereo")
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
            picture.pts = number if times is None else times[number]
            picture.time_base = 1 / Fraction(fps) if times is None else time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(audio.samples, format="fltp", layout="stereo")
            block.sample_rate = audio.sample_rate
            container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path
