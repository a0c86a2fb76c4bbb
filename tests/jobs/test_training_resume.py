"""A worker is killed in the middle of a training; another goes on from the last checkpoint, to the same weights."""

import shutil
import time
from contextlib import nullcontext
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.jobs import postgres
from tests.jobs.crew import Crew, wait_for
from tests.jobs.s3 import s3_server
from tests.recording import recorded
from vitascope.clip import Clip
from vitascope.jobs.house import LORA, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.training_order import TrainingClip, TrainingOrder, recipe_of

NUM_STEPS, SAVED_EVERY, STRUCK_AT = 40, 10, 25
TAKE_OVER_S = 15


def order():
    """A training whose steps take a moment each."""
    fields = {
        "name": "ink",
        "model": "sprout",
        "data": [{"path": "uploads", "trigger": "star"}],
        "steps": NUM_STEPS,
        "batch_size": 2,
        "video": {"width": 64, "height": 64, "num_frames": 9},
        "adapter": {"rank": 2},
        "saving": {"every": SAVED_EVERY},
    }
    return Order(model="sprout", training=TrainingOrder(recipe=recipe_of(fields)))


def uploaded(office, folder):
    """Two clips of noise among the tenant's files."""
    clips = []
    for seed in (1, 2):
        frames = np.random.default_rng(seed).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8)
        path = Clip(frames, Fraction(8)).save(folder / f"{seed}.mp4")
        upload = office.uploads.add("local", path.name, "user_data", partial(shutil.copyfile, path))
        clips.append(TrainingClip(file_id=upload.id, caption=f"a ball {seed}"))
    return tuple(clips)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["one machine, SQLite", "two machines, PostgreSQL and S3"])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, where):
    far = where.startswith("two")
    if far and postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    with (
        postgres.server() if far else nullcontext("") as database,
        s3_server(tmp_path) if far else nullcontext("") as store,
    ):
        office = Office(House(tmp_path / "api", database, store))
        clips = uploaded(office, tmp_path)
        crew = Crew(office.house, "ab", roots={slot: tmp_path / slot for slot in "ab"} if far else None)
        try:
            wait_for(lambda: set(office.ledger.slots()) == {"a", "b"}, 120)
            quiet = office.submit(Submission(order(), training_clips=clips, request_hash="1"))
            wait_for(lambda: not office.ledger.get(quiet.id).is_open, 300)
            job = office.submit(Submission(order(), training_clips=clips, request_hash="2"))
            wait_for(lambda: at_step(office, job) >= STRUCK_AT, 300, every_s=0.02)
            first = office.ledger.get(job.id).owner.partition("/")[0]
            crew.strike(first)
            struck, step = time.monotonic(), at_step(office, job)
            wait_for(lambda: not office.ledger.get(job.id).owner.startswith(f"{first}/"), TAKE_OVER_S)
            taken_over_s = time.monotonic() - struck
            wait_for(lambda: not office.ledger.get(job.id).is_open, 300)
        finally:
            crew.end()
        done, undisturbed = office.ledger.get(job.id), office.ledger.get(quiet.id)
        assert (undisturbed.status, done.status, done.attempts) == ("completed", "completed", 2), (
            done.error_message
        )
        went_on = [note for note in done.result["notes"] if note.startswith("goes on from step")]
        assert went_on and int(went_on[0].split()[4]) in (SAVED_EVERY, 2 * SAVED_EVERY)
        weights = [load_file(office.file(which.id, LORA)) for which in (quiet, job)]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
        assert [at for at, _ in done.result["curve"]] == list(range(1, NUM_STEPS + 1))
        recorded(
            f"training-resume-{'two-machines' if far else 'one-machine'}",
            where=where,
            killed_after_step=step,
            went_on=went_on[0].partition(" (")[0],
            taken_over_after_s=round(taken_over_s, 2),
            tensors_equal_bit_by_bit=len(weights[0]),
        )
        office.close()


def at_step(office, job):
    found = office.ledger.get(job.id)
    return found.step if found.stage == "train" else 0
