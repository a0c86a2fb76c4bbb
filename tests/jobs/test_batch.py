"""Requests that are denoised together where the deployment allows it, and what becomes of each of them."""

import time

import pytest

from tests.jobs.crew import Crew, wait_for
from tests.recording import recorded
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import OutOfMemory, RunError
from vitascope.generators.colour_bars import ColourBars
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.watch import DutyRound
from vitascope.media import probe, read_recipe

ORDER = Order(prompt="bars", model="colour-bars")
generate = ColourBars.generate


@pytest.fixture
def office(tmp_path):
    office = Office(House(tmp_path / "house"))
    yield office
    office.close()


@pytest.fixture
def runner(office):
    engine = Engine(Placement(device="cpu"))
    return JobRunner(office.house, office.ledger, engine, 60, queue=office.queue, max_batch=3)


def submitted(office, *prompts, **options):
    return [
        office.submit(Submission(ORDER.model_copy(update={"prompt": prompt, "options": options}))).id
        for prompt in prompts
    ]


def batch_of(office, job_id):
    """What the file's recipe says of its batch."""
    return read_recipe(office.house.job(job_id) / VIDEO).stages[0].notes.get("batch")


def statuses(office, ids):
    return [office.ledger.get(job_id).status for job_id in ids]


def test_those_alike_are_made_together_and_each_recipe_says_so(office, runner):
    first, other, second = (
        submitted(office, "a", seed=1)[0],
        submitted(office, "b", num_inference_steps=3)[0],
        submitted(office, "c", seed=2, width=128, num_inference_steps=4)[0],  # the defaults, written out
    )
    larger = submitted(office, "d", width=64)[0]
    third, fourth = submitted(office, "e", "f")
    runner.work(first)
    made = [first, second, third]
    assert statuses(office, made) == ["completed"] * 3
    assert statuses(office, [other, larger, fourth]) == ["queued"] * 3
    assert [batch_of(office, job_id) for job_id in made] == [{"size": 3, "index": n} for n in range(3)]
    done_at = office.ledger.get(second).completed_at
    runner.work(second)  # the queue's turn for it comes later, and changes nothing
    assert office.ledger.get(second).completed_at == done_at
    recipes = [office.ledger.get(job_id).result["recipe"] for job_id in made]
    assert [recipe["stages"][0]["task"]["prompt"] for recipe in recipes] == ["a", "c", "e"]


def test_without_the_option_each_is_made_alone(office, runner):
    runner.max_batch = 1
    ids = submitted(office, "a", "b")
    runner.work(ids[0])
    assert statuses(office, ids) == ["completed", "queued"]
    assert batch_of(office, ids[0]) is None


def test_one_that_is_cancelled_leaves_the_others(office, runner, monkeypatch):
    ids = submitted(office, "a", "b", "c")

    def cancelled_midway(self, tasks, modules, context):
        context.progress("denoise", 1, 4)
        seen = [office.ledger.get(job_id) for job_id in ids]
        assert {(job.status, job.stage, job.step, job.total) for job in seen} == {
            ("in_progress", "denoise", 1, 4)
        }
        office.cancel(ids[1], "local")
        return generate(self, tasks, modules, context)

    monkeypatch.setattr(ColourBars, "generate", cancelled_midway)
    runner.work(ids[0])
    assert statuses(office, ids) == ["completed", "failed", "completed"]
    assert office.ledger.get(ids[1]).error_code == "cancelled"
    assert not list(office.house.job(ids[1]).glob("*"))


def test_when_all_are_cancelled_the_batch_stops(office, runner, monkeypatch):
    ids, steps = submitted(office, "a", "b", num_inference_steps=50), []

    def counted(self, tasks, modules, context):
        def tick(progress):
            steps.append(progress.step)
            if progress.step == 2:
                for job_id in ids:
                    office.cancel(job_id, "local")
            heard(progress)

        heard = context.on_progress
        object.__setattr__(context, "on_progress", tick)
        return generate(self, tasks, modules, context)

    monkeypatch.setattr(ColourBars, "generate", counted)
    runner.work(ids[0])
    assert steps == [1, 2]
    assert statuses(office, ids) == ["failed", "failed"]


@pytest.mark.parametrize("error", [OutOfMemory("no room"), RunError("broken"), ValueError("broken")])
def test_one_that_fails_costs_no_other_its_clip(office, runner, monkeypatch, error):
    ids = submitted(office, "a", "bad", "c")

    def picky(self, tasks, modules, context):
        if any(task.prompt == "bad" for task in tasks):
            raise error
        return generate(self, tasks, modules, context)

    monkeypatch.setattr(ColourBars, "generate", picky)
    runner.work(ids[0])
    assert statuses(office, ids) == ["completed", "failed", "completed"]
    assert [batch_of(office, ids[n]) for n in (0, 2)] == [None, None]


def test_a_stopped_worker_puts_all_of_them_back_in_line(office, runner, monkeypatch):
    ids = submitted(office, "a", "b")

    def stopped(self, tasks, modules, context):
        runner.give_back()
        return generate(self, tasks, modules, context)

    monkeypatch.setattr(ColourBars, "generate", stopped)
    runner.work(ids[0])
    jobs = [office.ledger.get(job_id) for job_id in ids]
    assert [(job.status, job.attempts, job.batched_with) for job in jobs] == [("queued", 0, None)] * 2


def test_those_of_a_killed_worker_are_made_alone(office, runner, monkeypatch):
    ids = submitted(office, "a", "b")
    monkeypatch.setattr(ColourBars, "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        runner.work(ids[0])
    runner.work(ids[1])  # its turn in the queue comes while it counts as being made: nothing happens
    assert office.ledger.get(ids[1]).batched_with == ids[0]
    DutyRound(office.house, office.ledger, office.queue, "here", 0.1, 60).end_batch_of("runner")
    again = office.ledger.get(ids[1])
    assert (again.status, again.attempts, again.batched_with) == ("queued", 1, None)
    monkeypatch.setattr(ColourBars, "generate", generate)
    submitted(office, "c")
    for job_id in ids:
        runner.work(job_id)
    assert statuses(office, ids) == ["completed"] * 2
    assert [batch_of(office, job_id) for job_id in ids] == [None] * 2
    assert office.ledger.get(ids[1]).attempts == 2


def killed(*_):
    """As far as the ledger can see: nothing after this."""
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_that_batch_and_are_killed_lose_nothing(tmp_path):
    office = Office(House(tmp_path / "house"))
    options = {"num_inference_steps": 20, "seconds_a_step": 0.1}
    ids = submitted(office, *"abcdefgh", **options)
    crew = Crew(office.house, ("a", "b"), words=("--batch", "4"))
    try:
        wait_for(lambda: sum(job.step > 3 for job in office.ledger.several(ids)) >= 4, 90)
        begun = [job for job in office.ledger.several(ids) if job.batched_with]
        slot = begun[0].owner.partition("/")[0]
        struck = [job.id for job in office.ledger.several(ids) if job.owner.startswith(f"{slot}/")]
        crew.strike(slot)
        at = time.monotonic()
        wait_for(lambda: not any(job.is_open for job in office.ledger.several(ids)), 120)
        took_s = round(time.monotonic() - at, 1)
        wait_for(lambda: set(office.queue.statuses(ids).values()) == {"SUCCESS"}, 20)
    finally:
        crew.end()
    jobs = office.ledger.several(ids)
    assert {job.status for job in jobs} == {"completed"}
    assert {probe(office.house.job(job_id) / VIDEO).num_frames for job_id in ids} == {17}
    attempts = {job.id: job.attempts for job in jobs}
    assert attempts == {job_id: 2 if job_id in struck else 1 for job_id in ids}
    sizes = [(batch_of(office, job_id) or {"size": 1})["size"] for job_id in ids]
    assert [sizes[ids.index(job_id)] for job_id in struck] == [1] * len(struck), "made again alone"
    recorded(
        "batch-killed-worker",
        jobs=len(ids),
        in_the_killed_batch=len(struck),
        batch_sizes=sizes,
        seconds=took_s,
    )
    office.close()
