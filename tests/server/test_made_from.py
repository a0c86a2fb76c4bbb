"""What a request starts from: uploads, other videos, URLs; edits, extensions, steps and workflows as jobs."""

import base64
import json
import struct

import numpy as np
import pytest

from tests.generators.family import built
from tests.generators.tiny_tora import save_tora
from tests.server.test_access import BARS, code, png
from vitascope.clip import Audio, Clip
from vitascope.engine import hub
from vitascope.jobs.house import VIDEO
from vitascope.media import read, write


def create(desk, path="/v1/videos", **fields):
    reply = desk.http.post(path, json={**({"prompt": "bars"} if "prompt" not in fields else {}), **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()


def upload(desk, data, purpose="vision", name="x.png"):
    return desk.http.post("/v1/files", data={"purpose": purpose}, files={"file": (name, data)})


@pytest.fixture
def done(desk):
    """A completed video."""
    video = create(desk, model="colour-bars")
    assert desk.work(video["id"]).status == "completed"
    return video["id"]


def test_an_upload_is_known_by_what_it_is_not_by_its_name(desk, done):
    clip = desk.office.file(done, VIDEO).read_bytes()
    for data, kind in ((png(), "picture"), (clip, "clip"), (lora(), "lora")):
        said = upload(desk, data, name="../../x.txt").json()
        assert (said["kind"], said["filename"], said["object"]) == (kind, "../../x.txt", "file")
        assert desk.http.get(f"/v1/files/{said['id']}/content").content == data
    assert len(desk.http.get("/v1/files", params={"limit": 2}).json()["data"]) == 2
    assert desk.http.delete(f"/v1/files/{said['id']}").json()["deleted"]
    assert desk.http.get(f"/v1/files/{said['id']}").status_code == 404
    for junk in (b"", b"junk", png()[:60], b'\x08\0\0\0\0\0\0\0{"a": 5}'):
        assert code(upload(desk, junk), 400) == "invalid_media"


def test_a_tenant_keeps_only_so_much(desk, monkeypatch):
    monkeypatch.setattr("vitascope.jobs.uploads.MAX_TENANT_BYTES", 10)
    kept = upload(desk, png()).json()
    assert code(upload(desk, png()), 400) == "request_error"
    desk.http.delete(f"/v1/files/{kept['id']}")
    assert upload(desk, png()).status_code == 200


def test_a_picture_by_upload_or_data_url_becomes_the_first_frame(desk):
    file_id = upload(desk, png((128, 128))).json()["id"]
    data_url = "data:image/png;base64," + base64.b64encode(png((128, 128))).decode()
    for reference in ({"file_id": file_id}, {"image_url": data_url}, json.dumps({"image_url": data_url})):
        video = create(desk, model="colour-bars", input_reference=reference)
        assert desk.work(video["id"]).status == "completed"
        first = read(desk.office.file(video["id"], VIDEO)).frames[0:1][0]
        assert abs(first.astype(int) - (255, 0, 0)).mean() < 12


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://example.com/x.png",
        "http://[::1]/x",
        "http://user:secret@example.com/",
        "ftp://example.com/x",
        "http://2130706433/",
        "data:image/png,abc",
        "data:image/png;base64,?",
    ],
)
def test_no_url_is_fetched_that_is_not_allowed(desk, url):
    body = {**BARS, "input_reference": {"image_url": url}}
    reply = desk.http.post("/v1/videos", json=body)
    assert reply.status_code == 400 and "secret" not in reply.text
    assert desk.office.ledger.counts() == {}


def test_an_edit_is_made_from_a_video_or_a_file(desk, done):
    fields = {"prompt": "other bars", "model": "colour-bars", "params": {"strength": 0.25}}
    by_id = create(desk, "/v1/videos/edits", video={"id": done}, **fields)
    assert by_id["remixed_from_video_id"] == done
    form = {"prompt": "other bars", "model": "colour-bars", "params[strength]": "0.25"}
    files = {"video": ("x.mp4", desk.office.file(done, VIDEO).read_bytes())}
    by_file = desk.http.post("/v1/videos/edits", data=form, files=files).json()
    frames = []
    for video in (by_id, by_file):
        assert desk.work(video["id"]).status == "completed"
        frames.append(read(desk.office.file(video["id"], VIDEO)).array())
    assert np.array_equal(*frames)
    assert not np.array_equal(frames[0], read(desk.office.file(done, VIDEO)).array())


def test_an_extension_goes_on_from_the_last_frame(desk, done):
    video = create(
        desk, "/v1/videos/extensions", prompt="more", model="colour-bars", seconds=2, video={"id": done}
    )
    old = read(desk.office.file(done, VIDEO)).array()
    assert video["seconds"] == "4", "17 frames and 15 new ones at 8 a second"
    job = desk.work(video["id"])
    new = read(desk.office.file(video["id"], VIDEO)).array()
    assert job.seconds == "4" and len(new) == 32
    assert np.abs(new[:17].astype(int) - old).mean() < 6, "encoded once more"
    assert np.abs(new[17].astype(int) - old[16]).mean() < 40
    reply = desk.http.post(
        "/v1/videos/extensions", data={"prompt": "x", "seconds": "4"}, files={"video": ("x", png())}
    )
    assert code(reply, 400) == "request_error"


def test_an_extension_keeps_the_sound_of_the_clip(desk, tmp_path):
    sound = Audio(np.sin(np.arange(8000) / 9, dtype=np.float32)[None] / 2, 8000)
    clip = Clip(np.full((9, 48, 64, 3), 90, np.uint8), 8, audio=sound)
    file = {"video": ("x.mp4", write(clip, tmp_path / "x.mp4").read_bytes())}
    asked = {"prompt": "x", "model": "colour-bars", "num_frames": "9"}
    video = desk.http.post("/v1/videos/extensions", data=asked, files=file).json()
    assert desk.work(video["id"]).status == "completed"
    whole = read(desk.office.file(video["id"], VIDEO))
    assert whole.num_frames == 17 and whole.audio is not None
    heard = np.abs(np.asarray(whole.audio.samples)).mean(axis=0)
    assert heard[: len(heard) // 3].mean() > 0.1


def test_an_extension_that_would_not_fit_the_clip_is_refused_at_the_door(desk, done):
    asked = {"prompt": "x", "model": "colour-bars", "workflow": "text-to-video-plus", "video": {"id": done}}
    reply = desk.http.post("/v1/videos/extensions", json=asked)
    assert reply.status_code == 400 and "go on first" in reply.json()["error"]["message"]


def test_a_step_and_a_workflow_are_jobs(desk, done):
    video = desk.http.post("/v1/steps/reverse", json={"video": {"id": done}}).json()
    assert (video["applied_step"], desk.work(video["id"]).status) == ("reverse", "completed")
    forwards, backwards = (read(desk.office.file(which, VIDEO)).array() for which in (done, video["id"]))
    assert np.abs(forwards[::-1].astype(int) - backwards).mean() < 6
    wrong = desk.http.post("/v1/steps/interpolate", json={"video": {"id": done}, "factr": 2})
    assert code(wrong, 400) == "unknown_name"
    assert code(desk.http.post("/v1/steps/none", json={"video": {"id": done}}), 404) == "not_found"
    names = [row["id"] for row in desk.http.get("/v1/workflows").json()["data"]]
    assert code(desk.http.post("/v1/workflows/none", json={"prompt": "x"}), 404) == "not_found"
    assert names and {row["id"] for row in desk.http.get("/v1/steps").json()["data"]} >= {"reverse"}


def test_a_step_takes_its_knobs_flat_or_as_an_object_or_its_text(desk, done):
    for knobs in ({"and_forth": True}, {"params": {"and_forth": True}}, {"params": '{"and_forth": true}'}):
        made = create(desk, "/v1/steps/reverse", prompt=None, video={"id": done}, **knobs)
        assert desk.work(made["id"]).seconds == "4"
    for params in ("abc", [1], 5, '"x"', {"and_forth": True}):
        body = {"video": {"id": done}, "params": params, "and_forth": True}
        assert desk.http.post("/v1/steps/reverse", json=body).status_code == 400, params


def test_a_step_takes_a_rate(desk, done):
    for fps, seconds in ((29.97, "2.002"), ("30000/1001", "2.002"), (16, "2.062")):
        made = create(desk, "/v1/steps/interpolate", prompt=None, video={"id": done}, fps=fps, method="dis")
        assert (job := desk.work(made["id"])).seconds == seconds, job.error_message
    video = create(
        desk, "/v1/workflows/text-to-video-plus", model="colour-bars", params={"interpolate.fps": 24}
    )
    assert desk.office.ledger.get(video["id"]).order.options == {"interpolate.fps": 24}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/steps/letterbox", {"width": 16384, "height": 16384}),
        ("/v1/steps/letterbox", {"width": 8194, "height": 64}),
        ("/v1/workflows/text-to-video-plus", {"size": "4096x4096", "interpolate.factor": 64}),
    ],
)
def test_a_result_that_no_worker_should_hold_is_refused_at_the_door(desk, done, path, asked):
    start = {"video": {"id": done}} if "steps" in path else {"prompt": "x", "model": "colour-bars"}
    reply = desk.http.post(path, json={**start, **asked})
    assert reply.status_code == 400 and "over all frames" in reply.json()["error"]["message"]


def test_a_refused_setting_of_a_workflow_tells_nothing_of_the_disk(desk):
    settings = {"interpolate.factor": 2, "interpolate.fps": 24}
    body = {"prompt": "x", "model": "colour-bars", "params": settings}
    message = desk.http.post("/v1/workflows/text-to-video-plus", json=body).json()["error"]["message"]
    assert message.startswith("text-to-video-plus.yaml, line 8: interpolate: give factor=2 or fps=24")


def test_a_lora_belongs_to_its_request(desk):
    (desk.office.house.root / "loras" / "style.safetensors").write_bytes(lora())
    file_id = upload(desk, lora(), "lora").json()["id"]
    assert desk.http.get("/v1/loras").json()["data"] == [{"id": "style", "object": "lora"}]
    chosen = [{"name": "style", "weight": 0.5}, f"{file_id}:2"]
    video = create(desk, model="sprout", loras=chosen)
    assert video["loras"] == [{"name": "style", "weight": 0.5}, {"name": file_id, "weight": 2.0}]
    names = {path.name for path in desk.office.house.job(video["id"]).iterdir()}
    assert names == {"lora-0.safetensors", "lora-1.safetensors"}
    for wrong in (
        "../../etc/passwd",
        "/etc/passwd",
        "none",
        "file-" + "0" * 24,
        [{"name": "style", "x": 1}],
        5,
    ):
        reply = desk.http.post("/v1/videos", json={"prompt": "x", "loras": wrong})
        assert reply.status_code in (400, 404), wrong
    assert code(desk.http.post("/v1/videos", json={**BARS, "loras": "style"}), 400) == "request_error"


def test_drawn_paths_are_followed(desk, monkeypatch):
    monkeypatch.setattr(hub, "fetch_weights", lambda *_, **__: built(save_tora))
    small = {"width": 32, "height": 32, "num_frames": 9, "num_inference_steps": 2}
    clips = []
    for paths in ([[[0.1, 0.5], [0.9, 0.5]]], "[[0.9, 0.5], [0.1, 0.5]]"):
        video = create(desk, model="tora", prompt="a red ball", trajectories=paths, params=small)
        assert desk.work(video["id"]).status == "completed"
        clips.append(read(desk.office.file(video["id"], VIDEO)).array())
    assert not np.array_equal(*clips)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ("/etc/passwd", "is no JSON"),
        (["/etc/passwd"], "paths.0"),
        ([], "at least 1 item"),
        ([[[0.5, 0.5]]], "path 1 has 1 point"),
        ([[[0.5, "left"], [0, 0]]], "valid number"),
        ([[[7, 7], [0, 0]]], "farther outside"),
    ],
    ids=str,
)
def test_paths_that_cannot_be_followed_are_refused_and_no_file_of_ours_is_read(desk, paths, words):
    reply = desk.http.post("/v1/videos", json={"prompt": "x", "model": "tora", "trajectories": paths})
    assert reply.status_code == 400 and words in reply.json()["error"]["message"]
    for model, said in (
        ("colour-bars", "not trajectory-to-video"),
        ("", "say which model follows the paths"),
    ):
        reply = desk.http.post(
            "/v1/videos", json={"prompt": "x", "model": model, "trajectories": [[[0, 0], [1, 1]]]}
        )
        assert reply.status_code == 400 and said in reply.json()["error"]["message"]


def test_peers_spellings_are_understood(desk):
    video = create(desk, model="colour-bars", steps=2, extra_params='{"seed": 3}', n=1, user="me")
    assert video["params"] == {"num_inference_steps": 2, "seed": 3}
    assert desk.http.post("/v1/videos", json={**BARS, "n": 2}).status_code == 400
    assert (
        desk.http.post("/v1/videos", json={**BARS, "steps": 2, "num_inference_steps": 3}).status_code == 400
    )


def lora():
    """A safetensors file with the two matrices of one LoRA layer."""
    names = {"a.lora_A.weight": [0, 4], "a.lora_B.weight": [4, 8]}
    header = {
        name: {"dtype": "F32", "shape": [1, 1], "data_offsets": offsets} for name, offsets in names.items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 8
