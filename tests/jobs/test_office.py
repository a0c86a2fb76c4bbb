"""Submitting, idempotency, the fence between attempts, mending and expiry, without worker processes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, NotFound, RequestError, ResourceError, UnknownName
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import KeyReused, Office, StillOpen, Submission, TooManyJobs
from vitascope.jobs.order import Order
from vitascope.jobs.record import Job, new_id
from vitascope.jobs.slots import check_elsewhere
from vitascope.jobs.watch import DutyRound, Pulse

ORDER = Order(prompt="bars", model="colour-bars")


@pytest.fixture
def office(tmp_path):
    office = Office(House(tmp_path / "house"), max_open=20)
    yield office
    office.close()


@pytest.fixture
def runner(office):
    return JobRunner(office.house, office.ledger, Engine(Placement(device="cpu")), lifetime_s=60)


def duty(office):
    return DutyRound(office.house, office.ledger, office.queue, "here", 0.1, 60)


def test_a_job_becomes_files_and_its_work_is_cleared_away(office, runner):
    job = office.submit(Submission(ORDER))
    runner.work(job.id)
    done = office.find(job.id, "local")
    assert (done.status, done.progress, done.seconds, done.size) == ("completed", 100, "2.125", "128x128")
    names = {path.name for path in office.house.job(job.id).iterdir()}
    assert names == {VIDEO, "thumbnail.webp", "spritesheet.jpg"}
    runner.work(job.id)  # a second delivery by the queue changes nothing
    assert office.find(job.id, "local").completed_at == done.completed_at


def test_what_cannot_be_made_is_refused_before_it_is_queued(office):
    for order in (
        Order(prompt="x", model="colour-bars", options={"loras": "/a/file"}),
        Order(prompt="x", model="/a/folder"),
    ):
        with pytest.raises(UnknownName):
            office.submit(Submission(order))
    assert office.ledger.counts() == {}
    assert not list((office.house.root / "jobs").iterdir())


def test_one_key_is_one_job_even_when_it_comes_in_at_once(office):
    asked = Submission(ORDER, idempotency_key="k", request_hash="h")
    with ThreadPoolExecutor(8) as pool:
        ids = {job.id for job in pool.map(office.submit, [asked] * 8)}
    assert len(ids) == 1 and office.ledger.counts() == {"queued": 1}
    with pytest.raises(KeyReused):
        office.submit(Submission(ORDER, idempotency_key="k", request_hash="other"))
    assert office.submit(Submission(ORDER, tenant="b", idempotency_key="k", request_hash="h")).id not in ids


def test_tenants_do_not_see_each_other_and_have_a_limit(office):
    job = office.submit(Submission(ORDER, tenant="a"))
    for act in (office.find, office.cancel, office.delete):
        with pytest.raises(NotFound):
            act(job.id, "b")
    office.max_open = 1
    with pytest.raises(TooManyJobs):
        office.submit(Submission(ORDER, tenant="a"))


def test_an_open_job_is_not_deleted_and_an_ended_one_leaves_nothing(office):
    job = office.submit(Submission(ORDER))
    with pytest.raises(StillOpen):
        office.delete(job.id, "local")
    assert office.cancel(job.id, "local").error_code == "cancelled"
    office.delete(job.id, "local")
    assert office.queue.statuses([job.id]) == {} and not office.house.job(job.id).exists()


def test_a_cancelled_job_never_runs(office, runner):
    job = office.submit(Submission(ORDER))
    office.cancel(job.id, "local")
    runner.work(job.id)
    assert office.find(job.id, "local").attempts == 0


def test_an_attempt_that_lost_its_job_can_write_nothing(office):
    job = office.submit(Submission(ORDER))
    office.ledger.claim(job.id, "old")
    office.ledger.claim(job.id, "new")
    assert not office.ledger.report(job.id, "old", progress=50)
    assert not office.ledger.complete(job.id, "old", 60)
    assert not office.ledger.fail(job.id, "x", "x", 60, "old")
    assert office.ledger.complete(job.id, "new", 60)


def test_a_job_that_keeps_killing_its_worker_is_given_up(office, runner):
    job = office.submit(Submission(ORDER))
    for attempt in range(runner.max_attempts):
        office.ledger.claim(job.id, f"died-{attempt}")
    runner.work(job.id)
    assert office.find(job.id, "local").error_code == "worker_lost"


def test_a_stopped_worker_gives_its_job_back_uncounted(office, runner):
    slow = Order(
        prompt="x", model="colour-bars", options={"num_inference_steps": 100, "seconds_a_step": 0.05}
    )
    job = office.submit(Submission(slow))
    ended = []

    def work():
        try:
            runner.work(job.id)
        except JobCancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while office.find(job.id, "local").step == 0:
        time.sleep(0.02)
    runner.give_back()
    runner.stop.set()
    thread.join(timeout=5)
    found = office.find(job.id, "local")
    assert (found.status, found.attempts, len(ended)) == ("queued", 0, 1)


def test_a_job_written_down_but_not_queued_is_queued_by_the_watch(office):
    job = Job(order=ORDER, created_at=time.time() - 60)
    office.ledger.add(job)
    duty(office).mend()
    assert office.queue.statuses([job.id]) == {job.id: "ENQUEUED"}


def test_expired_files_and_records_go(office, runner):
    runner.lifetime_s = -1
    job = office.submit(Submission(ORDER))
    runner.work(job.id)
    duty(office).sweep()
    assert not office.house.job(job.id).exists()
    assert office.find(job.id, "local").order.prompt == ""
    assert office.ledger.page("local", None, 10, newest_first=True) == []


def test_lower_priority_numbers_stand_first(office):
    late = office.submit(Submission(ORDER, priority=9))
    office.submit(Submission(ORDER, priority=1))
    office.submit(Submission(ORDER, priority=9))
    assert office.ledger.num_before(late) == 1


def test_a_pulse_stops_only_when_the_same_beat_stays():
    pulse = Pulse(0.05)
    assert not pulse.stopped("a", 1)
    assert not pulse.stopped("a", 1)
    time.sleep(0.1)
    assert not pulse.stopped("a", 2)
    time.sleep(0.1)
    assert pulse.stopped("a", 2)


@pytest.mark.parametrize("job_id", ["../x", "video_", "video_" + "g" * 24, "video_" + "a" * 24 + "\n"])
def test_no_path_comes_in_by_an_id(tmp_path, job_id):
    with pytest.raises(RequestError):
        House(tmp_path).job(job_id)


def test_what_killed_requests_left_is_removed(office):
    kept = office.submit(Submission(ORDER)).id
    for job_id in (kept, new_id()):
        office.house.job(job_id).mkdir()
    part = office.house.root / "uploads" / "file-1.part"
    part.write_bytes(b"half")
    duty(office).tidy()
    assert part.exists(), "it may still be coming in"
    duty(office).tidy(older_than_s=-1)
    assert [path.name for path in (office.house.root / "jobs").iterdir()] == [kept]
    assert not part.exists()


def test_a_slot_belongs_to_one_machine(office, monkeypatch):
    monkeypatch.setattr("vitascope.jobs.slots.LOOK_S", 0.3)
    office.ledger.beat("gpu0", "other:1:2:boot")
    check_elsewhere(office.ledger, "gpu0", "here:1:2:boot")  # its heart has stopped: the machine was replaced
    beating = threading.Timer(0.1, office.ledger.beat, ("gpu0", "other:1:2:boot"))
    beating.start()
    with pytest.raises(ResourceError, match="'gpu0' is taken on 'other'"):
        check_elsewhere(office.ledger, "gpu0", "here:1:2:boot")
