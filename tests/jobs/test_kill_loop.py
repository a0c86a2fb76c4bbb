"""500 queued jobs and workers that are killed at random: every job ends exactly once, with a whole file."""

import random
import signal
import time
from contextlib import nullcontext

import pytest
import sqlalchemy as sa

from tests.jobs import postgres
from tests.jobs.crew import Crew, wait_for
from tests.recording import recorded
from vitascope.jobs.announcer import Announcer
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.outside import Outside
from vitascope.jobs.tables import DELIVERIES
from vitascope.media import probe

NUM_JOBS, NUM_KILLS, NUM_FREEZES = 500, 20, 2
SLOTS = ("a", "b")
STEP = {"num_inference_steps": 4, "seconds_a_step": 0.05}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_job_ends_once(tmp_path, database):
    if database == "postgresql" and postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    chance = random.Random(7)
    with postgres.server() if database == "postgresql" else nullcontext("") as url:
        office = Office(House(tmp_path / "house", url))
        office.webhooks.add("local", "count", "https://example.com/", ["video.completed", "video.failed"])
        order = Order(prompt="bars", model="colour-bars", options=STEP)
        ids = [office.submit(Submission(order, request_hash=str(n))).id for n in range(NUM_JOBS)]
        crew = Crew(office.house, SLOTS, words=("--max-attempts", "40"))
        started = time.monotonic()
        try:
            wait_for(lambda: office.ledger.counts().get("completed", 0) > 2, 120)
            for blow in [signal.SIGKILL] * NUM_KILLS + [signal.SIGSTOP] * NUM_FREEZES:
                time.sleep(chance.uniform(0.5, 3))
                slot = chance.choice(SLOTS)
                crew.strike(slot, blow)
                if blow == signal.SIGSTOP:
                    time.sleep(14)
                    crew.strike(slot, signal.SIGCONT)
                else:
                    crew.again(slot)
            wait_for(lambda: not open_jobs(office.ledger.counts()), 900, every_s=1)
        finally:
            crew.end()
        took_s = time.monotonic() - started
        jobs = office.ledger.several(ids)
        assert [job.status for job in jobs] == ["completed"] * NUM_JOBS
        assert {probe(office.house.job(job_id) / VIDEO).num_frames for job_id in ids} == {17}
        announcer = Announcer(office.ledger, Outside())
        while office.ledger.unannounced():
            announcer.announce()
        with office.ledger.engine.connect() as connection:
            told = connection.execute(sa.select(DELIVERIES.c.job_id)).scalars().all()
        assert sorted(told) == sorted(ids), "one end each"
        states = [list((office.house.job(job_id)).glob("states")) for job_id in ids]
        assert not any(states), "nothing of the work is left"
        attempts = [job.attempts for job in jobs]
        recorded(
            f"kill-loop-{database}",
            jobs=NUM_JOBS,
            kills=NUM_KILLS,
            freezes=NUM_FREEZES,
            completed=len(jobs),
            announced_once=len(told),
            jobs_begun_more_than_once=sum(number > 1 for number in attempts),
            most_attempts=max(attempts),
            seconds=round(took_s, 1),
        )
        office.close()


def open_jobs(counts):
    """How many still wait or run."""
    return counts.get("queued", 0) + counts.get("in_progress", 0)
