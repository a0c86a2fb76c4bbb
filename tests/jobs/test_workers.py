"""Worker processes that are killed or frozen in the middle of a job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.media import probe

SOURCE = Path(__file__).parents[2] / "src"
SLOW = {"num_inference_steps": 40, "seconds_a_step": 0.1}
TAKE_OVER_S = 15


@pytest.fixture
def office(tmp_path):
    office = Office(House(tmp_path / "house"))
    yield office
    office.close()


@pytest.fixture
def workers(office):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    started = {}
    for slot in ("a", "b"):
        words = ["--house", str(office.house.root), "--slot", slot, "--device", "cpu"]
        command = [sys.executable, "-m", "vitascope.jobs.worker", *words]
        started[slot] = subprocess.Popen(command, env=environment)
    wait_for(lambda: set(office.ledger.slots()) == {"a", "b"}, 60)
    yield started
    for process in started.values():
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def wait_for(happened, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"nothing in {timeout_s} s"
        time.sleep(0.05)


def running_in(office, job):
    """The slot that works at a job, once it has done a few denoising steps."""
    wait_for(lambda: office.ledger.get(job.id).step > 2, 60)
    return office.ledger.get(job.id).owner.partition("/")[0]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_another_worker_finishes_the_job(office, workers, blow):
    job = office.submit(Submission(Order(prompt="bars", model="colour-bars", options=SLOW)))
    first = running_in(office, job)
    other = "b" if first == "a" else "a"
    workers[first].send_signal(blow)
    struck = time.monotonic()
    wait_for(lambda: office.ledger.get(job.id).owner.startswith(f"{other}/"), TAKE_OVER_S)
    assert time.monotonic() - struck < TAKE_OVER_S
    if blow == signal.SIGSTOP:
        workers[first].send_signal(signal.SIGCONT)  # wakes up, and finds that it has lost the job
    wait_for(lambda: not office.ledger.get(job.id).is_open, 60)
    done = office.ledger.get(job.id)
    assert (done.status, done.attempts, done.owner.partition("/")[0]) == ("completed", 2, other)
    assert probe(office.house.job(job.id) / VIDEO).num_frames == 17
