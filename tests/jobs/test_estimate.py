"""What the office says at the door of a job's time and memory."""

import pytest

from vitascope.jobs.estimate import CannotFit, Estimator, work_of
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.order import Order, prepare
from vitascope.jobs.record import Job


@pytest.fixture
def ledger(tmp_path):
    house = House(tmp_path / "house")
    house.open()
    ledger = Ledger(house.ledger_url)
    yield ledger
    ledger.close()


def estimate(ledger, tmp_path, model, **options):
    prepared = prepare(Order(prompt="x", model=model, options=options), tmp_path)
    return Estimator(ledger).estimate(prepared, model)


def test_time_comes_from_what_jobs_of_the_model_took(ledger, tmp_path):
    assert estimate(ledger, tmp_path, "colour-bars")["seconds"] is None
    order = Order(prompt="x", model="colour-bars")
    work = work_of(prepare(order, tmp_path))
    for seconds in (2.0, 4.0, 90.0):
        job = Job(order=order)
        ledger.add(job)
        ledger.claim(job.id, "a")
        ledger.complete(job.id, "a", 60, result={"inference_time_s": seconds, "work": work})
    assert estimate(ledger, tmp_path, "colour-bars")["seconds"] == 4.0
    assert estimate(ledger, tmp_path, "colour-bars", num_inference_steps=8)["seconds"] == 8.0


def test_a_plan_is_made_for_the_workers_gpu(ledger, tmp_path):
    ledger.beat("a", "host", "cuda:1 NVIDIA H100 80GB HBM3", 79.1)
    said = estimate(ledger, tmp_path, "mochi-1", width=848, height=480, num_frames=163)
    assert 15 < said["memory_gib"] < 79


def test_what_no_worker_can_hold_is_refused(ledger, tmp_path):
    assert estimate(ledger, tmp_path, "sprout")["memory_gib"] > 0
    ledger.beat("a", "host", "cuda", 0.01)
    with pytest.raises(CannotFit, match=r"0\.0 GiB"):
        estimate(ledger, tmp_path, "sprout")
