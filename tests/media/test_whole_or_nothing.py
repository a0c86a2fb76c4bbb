"""A file or folder appears whole, or not at all: cancelled, killed, out of room, or refused."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sample_clips import numbered_frames

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.errors import InvalidMedia, JobCancelled, NotFound, RequestError
from vitascope.media import read, write, write_lossless

NAMES = ["clip.mp4", "clip.mov", "clip.mkv", "clip.webm", "clip.gif", "frames"]


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_leaves_nothing(tmp_path, clip, name):
    context = Context(on_progress=lambda progress: context.cancel.set())
    with pytest.raises(JobCancelled):
        write(Clip(np.repeat(clip.array(), 9, 0), 24), tmp_path / name, context=context)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_keeps_what_was_there(tmp_path, clip, name):
    path = clip.save(tmp_path / name)
    context = Context()
    context.cancel.set()
    with pytest.raises(JobCancelled):
        write(Clip(np.zeros((3, 8, 8, 3), np.uint8), 8), path, context=context)
    assert read(path).num_frames == 17
    assert leftovers(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_frames_that_cannot_be_read_leave_nothing(tmp_path, name):
    class Breaking:
        shape = (40, 32, 48, 3)

        def __getitem__(self, index):
            raise InvalidMedia("'x.mp4' is damaged: 20 of 40 frames could be read")

    with pytest.raises(InvalidMedia, match="20 of 40"):
        write(Clip(Breaking(), 8), tmp_path / name)
    assert leftovers(tmp_path) == []


WRITES_FOR_LONG = """
import sys, resource, signal
import numpy as np
from vitascope.clip import Clip
from vitascope.media import write, write_lossless
class Noise:
    shape = (int(sys.argv[3]), 64, 64, 3)
    def __getitem__(self, index):
        print("writing", flush=True)
        count = index.stop - index.start
        return np.random.default_rng(index.start).integers(0, 255, (count, 64, 64, 3), np.uint8)
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
(write_lossless if path.endswith("kept") else write)(Clip(Noise(), 24), path)
"""


@pytest.mark.parametrize("name", ["clip.mp4", "frames", "kept"])
def test_a_killed_writer_leaves_the_name_untouched(tmp_path, name):
    path = tmp_path / name
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_LONG, str(path), "0", "99999"], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(0.5)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert not path.exists()
    assert all(left.startswith(".") for left in leftovers(tmp_path)), (
        "what is left is hidden, under another name"
    )


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "frames", "kept"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, name):
    limit = "5000" if name == "frames" else "50000"
    done = subprocess.run(
        [sys.executable, "-c", WRITES_FOR_LONG, str(tmp_path / name), limit, "60"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("vitascope.errors.ResourceError: cannot write"), done.stderr[-500:]
    assert "File too large" in last
    assert leftovers(tmp_path) == []


def test_no_space_is_disk_full(tmp_path):
    from vitascope.atomic import replacing_folder
    from vitascope.errors import DiskFull

    with pytest.raises(DiskFull, match="kept"), replacing_folder(tmp_path / "kept", is_ours=False):
        raise OSError(28, "No space left on device")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_existing_files_are_replaced_or_refused(tmp_path, clip, name):
    path = clip.save(tmp_path / name)
    short = Clip(numbered_frames(3), 8)
    with pytest.raises(RequestError, match="exists already"):
        write(short, path, overwrite=False)
    assert read(path).num_frames == 17
    assert read(write(short, path)).num_frames == 3
    assert leftovers(tmp_path) == [name]


def test_folders_of_others_are_never_replaced(tmp_path, clip):
    folder = tmp_path / "holiday"
    folder.mkdir()
    write(clip, folder)
    (folder / "diary.txt").write_text("dear")
    for writer in (write, write_lossless):
        with pytest.raises(RequestError, match="other files"):
            writer(clip, folder)
    assert (folder / "diary.txt").read_text() == "dear"
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="is a file"):
        write_lossless(clip, tmp_path / "file")
    with pytest.raises(NotFound):
        write_lossless(clip, tmp_path / "no" / "kept")
