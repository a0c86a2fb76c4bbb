"""Fine-tuning as a job of the service: asked for, trained, paused, gone on with, used by name, refused."""

import json
import threading
import time
from fractions import Fraction

import numpy as np
import openai
import pytest

from vitascope.clip import Clip
from vitascope.jobs.house import ENCODED, RUN, VIDEO
from vitascope.jobs.webhooks import event_type_of
from vitascope.media import read

SIZE = {"width": 32, "height": 32, "num_frames": 9}
RECIPE = {
    "steps": 3,
    "video": SIZE,
    "adapter": {"rank": 2},
    "optimiser": {"lr": 0.3, "warmup": 0, "schedule": "constant"},
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
    assert (job["object"], job["status"], job["num_clips"], job["steps"]) == (
        "fine_tuning.job",
        "queued",
        2,
        3,
    )
    done = desk.work(job["id"])
    assert done.status == "completed", done.error_message
    assert event_type_of(done) == "fine_tuning.job.succeeded"
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
        read(desk.office.house.job(video["id"]) / VIDEO).frames[:] for video in videos
    )
    named, worn = (np.abs(by_lora.astype(int) - other.astype(int)).mean() for other in (by_model, plain))
    assert worn > 10 * named + 1  # the same LoRA by either name, and it does something

    events = desk.http.get(f"/v1/fine_tuning/jobs/{job['id']}/events?limit=100").json()["data"]
    assert events[0]["message"] == "The job has succeeded" and events[-1]["message"] == "The job was created"
    assert [e["data"]["step"] for e in events if e["type"] == "metrics"] == [3, 2, 1]
    listed = desk.http.get("/v1/fine_tuning/jobs").json()["data"]
    assert [row["id"] for row in listed] == [job["id"]]
    assert job["id"] not in {row["id"] for row in desk.http.get("/v1/videos").json()["data"]}


def test_a_pause_saves_and_a_resume_goes_on(desk, asked):
    job = create(desk, {**asked, "recipe": {**RECIPE, "steps": 400, "saving": {"every": 0}}})
    working = threading.Thread(target=desk.work, args=(job["id"],))
    working.start()
    deadline = time.monotonic() + 60
    while look(desk, job)["step"] < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert desk.http.post(f"/v1/fine_tuning/jobs/{job['id']}/pause").json()["status"] == "paused"
    working.join(30)
    paused = look(desk, job)
    assert paused["status"] == "paused" and not working.is_alive()
    run = desk.office.house.job(job["id"]) / RUN
    (state,) = (run / "checkpoints").iterdir()
    saved = int(state.stem.partition("-")[2])
    assert 2 <= saved < 400 and desk.runner.ledger.get(job["id"]).owner == ""
    resumed = desk.http.post(f"/v1/fine_tuning/jobs/{job['id']}/resume").json()
    assert resumed["status"] == "queued" and desk.office.queue.statuses([job["id"]]) == {
        job["id"]: "ENQUEUED"
    }
    again = threading.Thread(target=desk.work, args=(job["id"],))
    again.start()
    while look(desk, job)["step"] <= saved and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    assert f"goes on from step {saved} (checkpoints/{state.name})" in look(desk, job)["notes"]
    assert desk.http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    again.join(30)
    assert event_type_of(desk.runner.ledger.get(job["id"])) == "fine_tuning.job.cancelled"
    assert not run.exists() and look(desk, job)["status"] == "cancelled"
    assert [step for step, _ in look(desk, job)["curve"]] == list(range(1, len(look(desk, job)["curve"]) + 1))
    refused = desk.http.post(f"/v1/fine_tuning/jobs/{job['id']}/resume")
    assert refused.status_code == 409 and "not paused" in refused.json()["error"]["message"]
    assert desk.http.delete(f"/v1/fine_tuning/jobs/{job['id']}").json()["deleted"]


def test_openais_own_form_a_yaml_recipe_and_an_offered_folder(desk, asked, tmp_path):
    lines = "\n".join(json.dumps(clip) for clip in asked["clips"])
    (tmp_path / "train.jsonl").write_text(lines)
    file_id = uploaded(desk.http, tmp_path / "train.jsonl", "fine-tune")
    job = create(
        desk,
        {
            "model": "sprout",
            "training_file": file_id,
            "suffix": "ink",
            "seed": 7,
            "recipe": {"video": SIZE},
            "method": {
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": 6, "batch_size": 2}},
            },
            "hyperparameters": {"learning_rate_multiplier": 2.0},
        },
    )
    assert (job["training_file"], job["seed"], job["steps"]) == (file_id, 7, 6)
    assert job["hyperparameters"]["n_epochs"] == 6 and job["recipe"]["optimiser"]["lr"] == pytest.approx(2e-4)

    offered = desk.office.house.root / "datasets" / "city"
    offered.mkdir()
    clip_file(offered, 5).with_suffix(".txt").write_text("a street")
    assert desk.http.get("/v1/fine_tuning/datasets").json()["data"] == [{"id": "city", "object": "dataset"}]
    text = "name: town\ndata:\n  - {path: city, trigger: star}\nsteps: 4\n"
    reply = desk.http.post("/v1/fine_tuning/jobs", files={"recipe": ("recipe.yaml", text)}).json()
    assert (reply["name"], reply["model"], reply["num_clips"], reply["steps"]) == ("town", "sprout", 1, 4)
    assert "cogvideox-5b" in {row["id"] for row in desk.http.get("/v1/fine_tuning/models").json()["data"]}


WRONG = [
    ({"model": "no-such"}, "model_not_found", "model"),
    ({"model": "svd"}, "cannot be fine-tuned", "model"),
    ({"recipe": {"adapter": {"rank": 0}}}, "adapter.rank='0'", "adapter.rank"),
    ({"recipe": {"optimizer": {}}}, "optimizer", "optimizer"),
    ({"recipe": {"output": "/tmp/x"}}, "the service's to decide", "output"),
    ({"recipe": {"data": [{"path": "/etc"}]}, "clips": []}, "unknown dataset '/etc'", "data"),
    ({"recipe": {"data": [{"path": "../loras"}]}, "clips": []}, "unknown dataset", "data"),
    ({"recipe": {"saving": {"trackers": ["wandb"]}}}, "saving.trackers", "saving.trackers"),
    ({"recipe": {"video": {"width": 33}}}, "33", None),
    ({"recipe": "a: &a [1]\nb: *a"}, "aliases", "recipe"),
    ({"recipe": "a: ["}, "line 1: not valid YAML", "recipe"),
    ({"clips": []}, "give clips", "clips"),
    ({"clips": [{"file_id": "file-" + "0" * 24, "caption": "x"}]}, "no file", "file_id"),
    ({"clips": [{"file_id": "../../etc/passwd", "caption": "x"}]}, "no file", "file_id"),
    ({"suffix": "墨"}, "Latin letters", "name"),
    ({"hyperparameters": {"batch_size": "much"}}, "a number", "batch_size"),
    ({"dataset": "city"}, "both given", "dataset"),
    ({"integrations": [{"type": "wandb"}]}, "not supported", "integrations"),
    ({"epochs": 3}, "epochs", "epochs"),
    (
        {"model": "sprout-i2v", "recipe": {**RECIPE, "validation": {"prompts": ["x"]}}},
        "starts from pictures",
        "validation.images",
    ),
]


def test_what_cannot_be_trained_is_refused_at_the_door(desk, asked):
    for change, said, param in WRONG:
        reply = desk.http.post("/v1/fine_tuning/jobs", json={**asked, **change})
        error = reply.json()["error"]
        assert reply.status_code in (400, 404), (change, error)
        assert error["type"] in ("invalid_request_error", "not_found_error")
        assert said in error["message"] or said == error["code"], (change, error)
        assert param is None or error["param"] == param, (change, error)
    assert desk.http.get("/v1/fine_tuning/jobs").json()["data"] == []
    assert list((desk.office.house.root / "jobs").iterdir()) == []


def test_data_that_cannot_be_learnt_from_is_named(desk, asked, tmp_path):
    short = uploaded(desk.http, clip_file(tmp_path, 3, num_frames=4))
    lora = desk.office.house.root / "datasets" / "empty"
    lora.mkdir()
    captionless = [{**asked["clips"][0], "caption": ""}]
    for change, said in (
        ({"clips": [{"file_id": short, "caption": "x"}]}, "'clip-3-4.mp4' has 4 frames, 9 are needed"),
        ({"clips": captionless, "trigger": None}, "'clip-1-9.mp4'"),
        ({"clips": [], "dataset": "empty"}, "'empty' holds no videos"),
    ):
        error = desk.http.post("/v1/fine_tuning/jobs", json={**asked, **change}).json()["error"]
        assert said in error["message"] and str(tmp_path) not in error["message"], error
    for name, content in (("bad.jsonl", b'{"file": 1}'), ("empty.jsonl", b"\n"), ("x.jsonl", b"\xff\xfe")):
        (tmp_path / name).write_bytes(content)
        with (tmp_path / name).open("rb") as file:
            reply = desk.http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": file})
        assert reply.status_code == 400 and "list" in reply.json()["error"]["message"]


def test_a_clip_that_cannot_be_read_is_left_out_named_and_counted(desk, tmp_path):
    offered = desk.office.house.root / "datasets" / "city"
    offered.mkdir()
    for seed in (1, 2):
        clip_file(offered, seed).with_suffix(".txt").write_text("a street")
    (offered / "broken.mp4").write_bytes((offered / "clip-1-9.mp4").read_bytes()[:300])
    (offered / "broken.txt").write_text("a street")
    clip_file(offered, 3, num_frames=4).with_suffix(".txt").write_text("a street")
    job = create(desk, {"dataset": "city", "recipe": {**RECIPE, "steps": 1}})
    done = desk.work(job["id"])
    assert done.status == "completed" and (done.result["num_clips"], done.result["num_left_out"]) == (2, 2)
    broken, short = look(desk, job)["warnings"]
    assert "broken.mp4" in broken and "clip-3-4.mp4" in short and "too short: 4 frames" in short
    assert str(tmp_path) not in broken


def test_a_training_belongs_to_its_key(desk, asked, tmp_path):
    mine, other = desk.key("a", scopes=("read", "write", "train")), desk.key("b", scopes=("read", "train"))
    looking = desk.key("c", tenant="t", scopes=("read", "write"))
    refused = desk.http.post("/v1/fine_tuning/jobs", json=asked, headers=looking)
    assert refused.status_code == 403 and "lacks the scope 'train'" in refused.json()["error"]["message"]
    assert (
        desk.http.post("/v1/fine_tuning/jobs", json=asked, headers=other).status_code == 404
    )  # not its files
    path = clip_file(tmp_path, 8)
    clips = [{"file_id": uploaded(desk.http, path, headers=mine), "caption": "x"}]
    job = create(desk, {**asked, "clips": clips}, headers=mine)
    for method, rest in (
        ("get", ""),
        ("get", "/events"),
        ("get", "/content"),
        ("post", "/pause"),
        ("post", "/cancel"),
    ):
        reply = getattr(desk.http, method)(f"/v1/fine_tuning/jobs/{job['id']}{rest}", headers=other)
        assert reply.status_code == 404, rest
    assert desk.http.get("/v1/fine_tuning/jobs", headers=other).json()["data"] == []
    assert desk.http.get(f"/v1/videos/{job['id']}", headers=mine).status_code == 404
    assert desk.work(job["id"]).status == "completed"
    for naming in ({"loras": ["ink"]}, {"model": "ft:sprout:ink"}):
        reply = desk.http.post(
            "/v1/videos", json={"prompt": "x", "model": "sprout", **naming}, headers=looking
        )
        assert reply.status_code == 400 and "unknown LoRA 'ink'" in reply.json()["error"]["message"]


def test_the_stock_client_works_unchanged(desk, asked):
    client = openai.OpenAI(
        base_url="http://127.0.0.1/v1", api_key="none", http_client=desk.http, max_retries=0
    )
    extra = {name: asked[name] for name in ("clips", "trigger", "recipe")}
    job = client.fine_tuning.jobs.create(model="sprout", training_file="", suffix="ink", extra_body=extra)
    assert (job.status, job.hyperparameters.batch_size, job.fine_tuned_model) == ("queued", 1, None)
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    desk.work(job.id)
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.fine_tuned_model) == ("succeeded", "ft:sprout:ink")
    assert [row.id for row in client.fine_tuning.jobs.list()] == [job.id]
    assert len(list(client.fine_tuning.jobs.list_events(job.id, limit=2))) == 6
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.cancel("ftjob-" + "0" * 24)
