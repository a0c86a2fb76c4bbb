"""Ten thousand frames pass through at constant memory, and slices in a row decode each frame once."""

import subprocess
import sys
from fractions import Fraction

import pytest
from sample_clips import encode, numbered_frames, read_number, tone

from vitascope.clip import Clip
from vitascope.media import _decoder, read, write

MEASURED = """
import sys, resource
from pathlib import Path
import numpy as np
from vitascope.clip import Clip
from vitascope.media import _lossless, _video_frames, read, write, read_lossless, write_lossless
_lossless.WINDOW_BYTES = _video_frames.RECENT_BYTES = 2 * 2**20  # so that a small clip can show growth
kind, source, target = sys.argv[1:]
def peak_mib():
    # getrusage would count the peak of the process that started this one
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
warm = read(source)
write(Clip(warm.frames[0:600], warm.fps), Path(target) / ("warm" + kind if "." in kind else "warm.mp4"))
before = peak_mib()
clip = read(source)
total = 0
if kind == "windows":
    for start, frames in clip.windows(33, overlap=1):
        total += len(frames)
elif kind == "all at once":
    total = len(clip.array())
elif kind == "lossless":
    clip = read_lossless(write_lossless(clip, Path(target) / "kept"))
    total = clip.num_frames
else:
    total = read(write(clip, Path(target) / ("copy" + kind))).num_frames
print(total, peak_mib() - before)
"""


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """10,000 frames of 48 x 32: 44 MiB once decoded."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    frames = numbered_frames(100)

    class Repeated:
        shape = (10_000, 32, 48, 3)

        def __getitem__(self, index):
            return frames[[number % 100 for number in range(index.start, index.stop)]]

    return write(Clip(Repeated(), 24), path, crf=30)


def measured(kind, source, target):
    """Frames that passed, and by how many MiB the peak grew, in a process of its own."""
    command = [sys.executable, "-c", MEASURED, kind, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-800:]
    total, grown_mib = done.stdout.split()
    return int(total), float(grown_mib)


@pytest.mark.parametrize(
    "kind", ["windows", ".mp4", "lossless", pytest.param(".webm", marks=pytest.mark.slow)]
)
def test_ten_thousand_frames_at_constant_memory(tmp_path, long_video, kind):
    total, grown_mib = measured(kind, long_video, tmp_path)
    assert total == (10_000 if kind != "windows" else 10_000 + 312)
    assert grown_mib < 22, "a copy of all frames would be 44 MiB"


def test_the_measure_sees_a_copy_of_all_frames(tmp_path, long_video):
    assert measured("all at once", long_video, tmp_path)[1] > 35


def test_slices_in_a_row_decode_each_frame_once(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.mp4", numbered_frames(200), codec_options={"g": "50"})
    decoded = []
    original = _decoder.Decoder._numbered

    def counting(self, container):
        for number, frame in original(self, container):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(_decoder.Decoder, "_numbered", counting)
    clip = read(path)
    seen = [
        read_number(f) for start, frames in clip.windows(16, overlap=4) for f in frames[4 if start else 0 :]
    ]
    assert seen == list(range(200))
    assert decoded == list(range(200))
    decoded.clear()
    assert read_number(clip.frames[151:152][0]) == 151
    assert len(decoded) <= 52, "a jump decodes from the nearest key frame, not from the start"


def test_long_sound_is_paged_in(tmp_path, monkeypatch):
    import numpy as np

    from vitascope.media import _sound

    path = write(Clip(numbered_frames(48), Fraction(24), audio=tone(2.0)), tmp_path / "x.webm")
    held = read(path).audio
    monkeypatch.setattr(_sound, "IN_MEMORY_BYTES", 1000)
    paged = read(path).audio
    assert isinstance(paged.samples.base.base, np.memmap) or isinstance(paged.samples.base, np.memmap)
    assert np.array_equal(paged.samples, held.samples)
