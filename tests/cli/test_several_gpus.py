"""`vitascope generate --gpus`, on CPU processes: the frames are those of one process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import vitascope as package


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [(), ("--set", "cfg_degree=1"), ("--set", "ring_degree=2")])
def test_two_processes_make_the_frames_of_one(vitascope, degrees):
    asked = (
        "generate",
        "a red ball bounces over grass",
        "--steps",
        3,
        "--frames",
        9,
        "--device",
        "cpu",
        "-q",
    )
    for folder, more in (("one/", ()), ("two/", ("--gpus", 2, *degrees))):
        made = vitascope(*asked, "-o", folder, *more)
        assert made.code == 0, made.err
    one, two = (package.read(name).array().astype(int) for name in ("one", "two"))
    assert one.shape == two.shape
    assert (
        np.abs(one - two).max() <= 1
    )  # guidance's two samples one by one round differently from both at once
    assert (one != two).mean() < 1e-3


def test_a_generator_that_cannot_be_shared_says_so(vitascope):
    made = vitascope(
        "generate", "a star", "-m", "colour-bars", "--gpus", 2, "--device", "cpu", "-o", "star.mp4"
    )
    assert made.code == 2 and "colour-bars runs on one GPU, not on gpus=2" in made.err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--gpus", 2), "gpus=2, and this machine has no GPU"),
        (("--speed", "fast"), "'exact', 'balanced' or 'turbo'"),
        (("--memory", "much"), "24GiB"),
        (
            ("--set", "gpus=2", "--set", "device=cpu", "--set", "ring_degree=3"),
            "ring_degree=3 does not share",
        ),
        (("--set", "cache_threshold=0.1"), "no effect without cache"),
        (("--set", "attentive=sdpa"), "neither step.parameter=value nor a switch"),
    ],
)
def test_a_workflow_says_what_it_cannot_be_placed_on(vitascope, asked, words):
    made = vitascope("run", "text-to-video-plus", "a star", "-o", "star.mp4", *asked)
    assert made.code == 2 and words in made.err and made.err.strip().count("\n") == 0


@pytest.mark.slow
def test_ctrl_c_ends_every_process_and_leaves_no_file(tmp_path):
    command = [sys.executable, "-m", "vitascope", "generate", "a red ball", "--gpus", "2", "--device", "cpu"]
    command += ["--steps", "900", "-o", "ball.mp4"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    ranks, deadline = [], time.monotonic() + 60
    while len(ranks) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        ranks = [p for p in psutil.Process(process.pid).children() if "fleet_rank" in " ".join(p.cmdline())]
    time.sleep(25)  # loaded, and some steps done
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "stopped; nothing was written" in err and "Traceback" not in err
    psutil.wait_procs(ranks, timeout=5)
    assert len(ranks) == 2 and not any(rank.is_running() for rank in ranks)
    assert list(tmp_path.iterdir()) == []
