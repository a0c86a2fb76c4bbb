"""Worker processes that are killed or frozen in the middle of a job."""

import signal
import time

import psutil
import pytest

from tests.jobs.crew import Crew, wait_for
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.media import probe

SLOW = {"num_inference_steps": 40, "seconds_a_step": 0.1}
TAKE_OVER_S = 15


@pytest.fixture
def office(tmp_path):
    office = Office(House(tmp_path / "house"))
    yield office
    office.close()


@pytest.fixture
def crew(office):
    crew = Crew(office.house, ("a", "b"))
    try:
        wait_for(lambda: set(office.ledger.slots()) == {"a", "b"}, 60)
        yield crew
    finally:
        crew.end()


def running_in(office, job):
    """The slot that works at a job, once it has done a few denoising steps."""
    wait_for(lambda: office.ledger.get(job.id).step > 2, 60)
    return office.ledger.get(job.id).owner.partition("/")[0]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_another_worker_finishes_the_job(office, crew, blow):
    job = office.submit(Submission(Order(prompt="bars", model="colour-bars", options=SLOW)))
    first = running_in(office, job)
    other = "b" if first == "a" else "a"
    crew.strike(first, blow)
    struck = time.monotonic()
    wait_for(lambda: office.ledger.get(job.id).owner.startswith(f"{other}/"), TAKE_OVER_S)
    assert time.monotonic() - struck < TAKE_OVER_S
    if blow == signal.SIGSTOP:
        crew.strike(first, signal.SIGCONT)  # wakes up, and finds that it has lost the job
    wait_for(lambda: not office.ledger.get(job.id).is_open, 60)
    done = office.ledger.get(job.id)
    assert (done.status, done.attempts, done.owner.partition("/")[0]) == ("completed", 2, other)
    assert probe(office.house.job(job.id) / VIDEO).num_frames == 17


@pytest.mark.slow
def test_a_job_outlives_one_of_the_processes_that_share_it(office):
    crew = Crew(office.house, ("a", "b"), words=("--gpus", "2"))
    try:
        order = Order(prompt="a red ball", model="sprout", options={"num_inference_steps": 60})
        job = office.submit(Submission(order))
        wait_for(lambda: office.ledger.get(job.id).step > 2, 120)
        first = office.ledger.get(job.id).owner.partition("/")[0]
        ranks = psutil.Process(crew.processes[first].pid).children()
        assert len(ranks) == 2
        ranks[1].kill()
        wait_for(lambda: not office.ledger.get(job.id).is_open, 120)
        done = office.ledger.get(job.id)
        assert (done.status, done.attempts) == ("completed", 2)
        assert not any(rank.is_running() for rank in ranks)
    finally:
        crew.end()
