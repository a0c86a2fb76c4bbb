"""Fine-tuning as a job of the service: asked for, trained, paused, gone on with, used by name, refused."""

import io
import json
import threading
from fractions import Fraction

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.jobs.house import ENCODED, RUN

SIZE = {"width": 32, "height": 32, "num_frames": 9}
RECIPE = {
    "steps": 3,
    "video": SIZE,
    "adapter": {"rank": 2},
    "optimiser": {"lr": 0.01},
    "saving": {"every": 1},
}


def clip_file(tmp_path, seed=0, num_frames=9):
    frames = np.random.default_rng(seed).integers(0, 255, (num_frames, 32, 32, 3), dtype=np.uint8)
    return Clip(frames, Fraction(8)).save(tmp_path / f"clip-{seed}-{num_frames}.mp4")


def uploaded(http, path, purpose="user_data", **options):
    with path.open("rb") as file:
        reply = http.post(
            "/v1/files", data={"purpose": purpose}, files={"file": (path.name, file)}, **options
        )
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


@pytest.fixture
def asked(desk, tmp_path):
    """A request that can be trained in seconds."""
    ids = [uploaded(desk.http, clip_file(tmp_path, seed)) for seed in (1, 2)]
    clips = [{"file_id": file_id, "caption": f"a ball, number {n}"} for n, file_id in enumerate(ids)]
    return {"model": "sprout", "suffix": "ink", "trigger": "star", "clips": clips, "recipe": RECIPE}


def create(desk, body, **options):
    reply = desk.http.post("/v1/fine_tuning/jobs", json=body, **options)
    assert reply.status_code == 200, reply.text
    return reply.json()


def look(desk, job, **options):
    return desk.http.get(f"/v1/fine_tuning/jobs/{job['id']}", **options).json()


def test_clips_become_a_lora_that_a_request_names(desk, asked):
    sampled = {**RECIPE, "validation": {"prompts": ["star, a ball"], "num_inference_steps": 2}}
    job = create(desk, {**asked, "recipe": sampled, "metadata": {"for": "test"}})
    assert (job["object"], job["status"], job["num_clips"], job["steps"]) == ("fine_tuning.job", "queued", 2, 3)
    done = desk.work(job["id"])
    assert done.status == "completed", done.error_message
    told = look(desk, job)
    assert (told["status"], told["fine_tuned_model"]) == ("succeeded", "ft:sprout:ink")
    assert [step for step, _ in told["curve"]] == [1, 2, 3] and told["loss"] == told["curve"][-1][1] > 0
    assert told["step_s"] > 0 and "2 clips; about" in told["notes"][0]
    sample = desk.http.get(told["samples"][0]["url"])
    assert sample.headers["content-type"] == "video/mp4" and len(sample.content) > 500
    folder = desk.office.house.job(job["id"])
    assert not (folder / RUN).exists() and not (folder / ENCODED).exists()

    lora = desk.http.get(f"/v1/fine_tuning/jobs/{job['id']}/content")
    assert "ink.safetensors" in lora.headers["content-disposition"]
    file = desk.http.get(f"/v1/files/{told['result_files'][0]}").json()
    assert (file["filename"], file["kind"], file["bytes"]) == ("ink.safetensors", "lora", len(lora.content))
    card = desk.http.get(f"/v1/fine_tuning/jobs/{job['id']}/content?variant=card").text
    assert "Trigger words: `star`" in card and str(desk.office.house.root) not in card

    small = {"prompt": "star", "params": {"num_inference_steps": 2, "seed": 1, **SIZE}}
    videos = [
        desk.http.post("/v1/videos", json={**small, **naming}).json()
        for naming in ({"model": "sprout"}, {"model": "sprout", "loras": ["ink"]}, {"model": "ft:sprout:ink"})
    ]
    assert [video["loras"] for video in videos][1] == [{"name": "ink", "weight": 1.0}] == videos[2]["loras"]
    for video in videos:
        assert desk.work(video["id"]).status == "completed"
    plain, by_lora, by_model = (
        desk.http.get(f"/v1/videos/{video['id']}/content").content for video in videos
    )
    assert by_lora == by_model or len(by_lora) == len(by_model)
    assert plain != by_lora

    events = desk.http.get(f"/v1/fine_tuning/jobs/{job['id']}/events?limit=100").json()["data"]
    assert events[0]["message"] == "The job has succeeded" and events[-1]["message"] == "The job was created"
    assert [e["data"]["step"] for e in events if e["type"] == "metrics"] == [3, 2, 1]
    listed = desk.http.get("/v1/fine_tuning/jobs").json()["data"]
    assert [row["id"] for row in listed] == [job["id"]]
    assert job["id"] not in {row["id"] for row in desk.http.get("/v1/videos").json()["data"]}
