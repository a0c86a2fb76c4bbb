"""A worker is killed in the middle of denoising; another goes on from the last checkpoint, to the same bits."""

import json
import random
import time
from contextlib import nullcontext

import numpy as np
import pytest

from tests.jobs import postgres
from tests.jobs.crew import Crew, wait_for
from tests.jobs.s3 import s3_server
from tests.recording import recorded
from vitascope.jobs.attempt import CHECKPOINT_EVERY
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.media import read
from vitascope.server.app import create_app

NUM_STEPS = 16
TAKE_OVER_S = 15
SPY = """
import os
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel as Denoiser
forward = Denoiser.forward
def counted(*args, **kwargs):
    with open(os.environ["SPY"], "a") as log:
        log.write("x")
    return forward(*args, **kwargs)
Denoiser.forward = counted
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["one machine, SQLite", "two machines, PostgreSQL and S3"])
def test_a_killed_denoising_goes_on_to_the_same_bits(tmp_path, where):
    far = where.startswith("two")
    if far and postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    spied = tmp_path / "calls"
    with (
        postgres.server() if far else nullcontext("") as database,
        s3_server(tmp_path) if far else nullcontext("") as store,
    ):
        office = Office(House(tmp_path / "api", database, store))
        roots = {slot: tmp_path / slot for slot in "ab"} if far else None
        environment = {"SPY": str(spied)}
        crew = Crew(office.house, "ab", roots=roots, environment=environment, path=tmp_path / "spy")
        try:
            figures = killed_and_undisturbed(office, crew, spied)
        finally:
            crew.end()
        if far:
            figures["ranges_from_store"] = ranges_agree(office, figures.pop("video"))
        figures.pop("video", None)
        recorded(f"denoising-resume-{'two-machines' if far else 'one-machine'}", where=where, **figures)
        office.close()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_on_a_gpu_too(tmp_path):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    (tmp_path / "sitecustomize.py").write_text(SPY)
    office = Office(House(tmp_path / "house"))
    environment = {"SPY": str(tmp_path / "calls")}
    crew = Crew(office.house, "ab", environment=environment, path=tmp_path, device="cuda")
    try:
        figures = killed_and_undisturbed(office, crew, tmp_path / "calls", num_steps=400)
    finally:
        crew.end()
    recorded("denoising-resume-cuda", device=torch.cuda.get_device_name(), **figures)
    office.close()


def killed_and_undisturbed(office, crew, spied, num_steps=NUM_STEPS):
    """The figures of one job whose worker is killed at a random step, beside the same job in peace."""
    options = {"seed": 5, "num_inference_steps": num_steps}
    order = Order(prompt="a red ball bounces over green grass", model="sprout", options=options)
    wait_for(lambda: set(office.ledger.slots()) == {"a", "b"}, 120)
    quiet = office.submit(Submission(order, request_hash="1"))
    wait_for(lambda: not office.ledger.get(quiet.id).is_open, 400)
    assert office.ledger.get(quiet.id).status == "completed", office.ledger.get(quiet.id).error_message
    undisturbed_calls = len(spied.read_text())
    spied.write_text("")

    strike_at = random.Random().randint(num_steps * 3 // 8, num_steps * 7 // 8)
    job = office.submit(Submission(order, request_hash="2"))
    wait_for(lambda: at_step(office, job) >= strike_at, 400, every_s=0.02)
    first = office.ledger.get(job.id).owner.partition("/")[0]
    crew.strike(first)
    struck, step = time.monotonic(), at_step(office, job)
    wait_for(lambda: not office.ledger.get(job.id).owner.startswith(f"{first}/"), TAKE_OVER_S)
    taken_over_s = time.monotonic() - struck
    wait_for(lambda: not office.ledger.get(job.id).is_open, 400)
    done, calls = office.ledger.get(job.id), len(spied.read_text())
    assert (done.status, done.attempts) == ("completed", 2), done.error_message
    resumed_from = done.result["recipe"]["stages"][0]["notes"]["resumed_from_step"]
    assert resumed_from % CHECKPOINT_EVERY == 0 and step - 2 * CHECKPOINT_EVERY <= resumed_from
    calls_a_step = undisturbed_calls / num_steps
    most = undisturbed_calls + calls_a_step * (CHECKPOINT_EVERY + 1)
    assert undisturbed_calls <= calls <= most, "only the steps since the checkpoint ran twice"
    frames = [read(office.file(which.id, VIDEO)).array() for which in (quiet, job)]
    assert np.array_equal(*frames)
    return {
        "video": job.id,
        "killed_after_step": step,
        "resumed_from_step": resumed_from,
        "taken_over_after_s": round(taken_over_s, 2),
        "denoiser_calls_undisturbed": undisturbed_calls,
        "denoiser_calls_with_kill": calls,
        "frames_equal_bit_by_bit": len(frames[0]),
    }


def at_step(office, job):
    found = office.ledger.get(job.id)
    return found.step if found.stage == "denoise" else 0


def ranges_agree(office, video_id):
    """Whole and partial downloads of a file that only the store has."""
    from fastapi.testclient import TestClient

    office.house.artifacts.leave(office.house.named(video_id))
    with TestClient(create_app(office), base_url="http://127.0.0.1") as http:
        address = f"/v1/videos/{video_id}/content"
        whole = http.get(address).content
        for said, part in (("0-9", whole[:10]), ("10-", whole[10:]), ("-5", whole[-5:])):
            reply = http.get(address, headers={"range": f"bytes={said}"})
            assert (reply.status_code, reply.content) == (206, part)
        assert http.get(address, headers={"range": "bytes=99999999-"}).status_code == 416
        assert json.loads(http.get(f"/v1/videos/{video_id}").content)["status"] == "completed"
    return len(whole)
