"""A fleet gives what one process gives, ends together, and says which rank failed."""

import subprocess
import sys
import time

import psutil
import pytest

from tests.engine.fleet_items import Alone, Doubler
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, OutOfMemory, RankLost, RequestError, RunError, UnsupportedTask
from vitascope.task import TextToVideo

TASK = TextToVideo(prompt="two", seed=5)


@pytest.fixture(scope="module")
def engine():
    engine = Engine(Placement(device="cpu", gpus=2))
    yield engine
    engine.evict_all()


def processes(engine):
    return [psutil.Process(rank.process.pid) for rank in engine._fleet._ranks]


def said(engine, item, context=None):
    (clip,) = engine.generate(item, [TASK], context or Context())
    return clip.array()[:, 0, 0, 0].tolist()


def test_ranks_share_the_samples_and_progress_and_warnings_come_once(engine):
    heard = []
    context = Context(on_progress=lambda progress: heard.append(progress.step))
    assert said(engine, Doubler(), context) == [8, 8, 1, 5]
    assert heard == [1, 2, 3] and context.warnings == ["doubled"]


def test_processes_stay_warm_and_a_failure_of_all_alike_leaves_them_so(engine):
    said(engine, Doubler())
    before = processes(engine)
    with pytest.raises(UnsupportedTask, match=r"^not such a task$") as caught:
        said(engine, Doubler(trouble="refuse", on=99))
    assert caught.value.param == "size"
    with pytest.raises(RunError, match=r"rank 0 \(cpu\): ZeroDivisionError: by nothing"):
        said(engine, Doubler(trouble="bug", on=99))
    assert said(engine, Doubler()) == [8, 8, 1, 5]
    assert processes(engine) == before


def test_cancelling_stops_all_ranks_at_one_step_and_keeps_them(engine):
    said(engine, Doubler())
    before = processes(engine)

    def stop_at_four(progress):
        if progress.step == 4:
            context.cancel.set()

    context = Context(on_progress=stop_at_four)
    with pytest.raises(JobCancelled):
        said(engine, Doubler(num_inference_steps=100_000), context)
    assert said(engine, Doubler()) == [8, 8, 1, 5]
    assert processes(engine) == before


def test_a_listener_may_cancel_too(engine):
    def refuse(progress):
        raise JobCancelled("nobody wants it any more")

    with pytest.raises(JobCancelled):
        said(engine, Doubler(num_inference_steps=100_000), Context(on_progress=refuse))


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (
            "die",
            RankLost,
            r"rank 1 \(cpu\): the process ended \(killed, as the system does .*\): the roof fell in",
        ),
        ("memory", OutOfMemory, r"rank 1 \(cpu\): cpu ran out of memory"),
    ],
)
def test_one_rank_in_trouble_ends_all_promptly(trouble, error, words, monkeypatch):
    monkeypatch.setattr("vitascope.engine.fleet.LAST_WORDS_S", 0.5)
    engine = Engine(Placement(device="cpu", gpus=2))
    said(engine, Doubler())
    were, started = processes(engine), time.monotonic()
    with pytest.raises(error, match=words):
        said(engine, Doubler(trouble=trouble, on=1))
    assert time.monotonic() - started < 5
    assert not any(process.is_running() for process in were)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["", "stuck"])
def test_ranks_end_with_their_parent(trouble):
    code = (
        "import os, signal, threading\n"
        "from tests.engine.test_fleet import *\n"
        "engine = Engine(Placement(device='cpu', gpus=2))\n"
        "said(engine, Doubler())\n"
        "print(*[p.pid for p in processes(engine)], flush=True)\n"
        "threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()\n"
        f"said(engine, Doubler(num_inference_steps=10_000_000, trouble={trouble!r}, on=99))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_what_cannot_be_shared_is_refused_before_anything_starts():
    engine = Engine(Placement(device="cpu", gpus=2))
    with pytest.raises(RequestError, match="runs on one GPU"):
        engine.generate(Alone(), [TASK], Context())
    assert not engine._fleet._ranks


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gpus": 2}, "no GPU"),
        ({"gpus": 2, "device": "cuda:1"}, "device"),
        ({"gpus": 1, "device": "cpu", "ring_degree": 3}, "ring_degree=3"),
        ({"ulysses_degree": 2, "device": "cpu"}, "needs gpus"),
        ({"gpus": 2, "device": "cpu", "cfg_degree": 2, "ulysses_degree": 2}, "does not share out gpus=2"),
        ({"gpus": 4, "device": "cpu", "ring_degree": 3}, "ring_degree=3 does not share out gpus=4"),
    ],
)
def test_placements_that_cannot_be(fields, words):
    import torch

    if torch.cuda.is_available():
        pytest.skip("these are about a machine without GPUs")
    with pytest.raises(RequestError, match=words):
        Placement(**fields).resolve().check_gpus()
