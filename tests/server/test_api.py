"""The service over the wire: both wire forms, the stock client, errors, progress, cancel."""

import asyncio
import io
import json
import time

import httpx
import openai
import pytest
from PIL import Image

from vitascope.media import probe

MODEL = "colour-bars"
SLOW = {"num_inference_steps": 1000, "seconds_a_step": 0.1}


def create(http, **fields):
    reply = http.post("/v1/videos", json={"prompt": "bars", "model": MODEL, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(reply, status):
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]
    return error


@pytest.fixture
def client(service):
    return openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)


def test_stock_client_makes_lists_remixes_downloads_and_deletes(client, tmp_path):
    made = client.videos.create_and_poll(
        prompt="a red ball", model=MODEL, seconds="4", size="1280x720", extra_body={"params": {"seed": 7}}
    )
    assert (made.status, made.progress, made.seconds, made.size) == ("completed", 100, "4", "1280x720")
    assert made.expires_at > made.completed_at >= made.created_at
    path = tmp_path / "clip.mp4"
    client.videos.download_content(made.id).write_to_file(path)
    clip = probe(path)
    assert (clip.num_frames, clip.width, clip.height) == (32, 1280, 720)
    for variant, kind in (("thumbnail", "WEBP"), ("spritesheet", "JPEG")):
        data = client.videos.download_content(made.id, variant=variant).read()
        assert Image.open(io.BytesIO(data)).format == kind

    remixed = client.videos.remix(made.id, prompt="a blue ball")
    assert (remixed.remixed_from_video_id, remixed.prompt) == (made.id, "a blue ball")
    remixed = client.videos.poll(remixed.id)
    assert remixed.params == made.params
    assert [video.id for video in client.videos.list(limit=1)][:2] == [remixed.id, made.id]

    assert client.videos.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as error:
        client.videos.retrieve(made.id)
    assert (error.value.param, error.value.code) == ("video_id", "not_found")


def test_stock_client_works_asynchronously(service):
    async def make():
        async with openai.AsyncOpenAI(base_url=f"{service}/v1", api_key="none") as client:
            video = await client.videos.create_and_poll(prompt="bars", model=MODEL)
            return video, [row async for row in client.videos.list(limit=2)]

    video, rows = asyncio.run(make())
    assert video.status == "completed" and video.id in {row.id for row in rows}


def test_both_wire_forms_and_flat_names_mean_the_same(http):
    nested = create(http, params={"seed": 3, "num_inference_steps": 2})
    flat = create(http, seed=3, steps=2)
    form = {"prompt": "bars", "model": MODEL, "params[seed]": "3", "params[num_inference_steps]": "2"}
    boundary = {name: (None, value) for name, value in form.items()}
    reply = http.post("/v1/videos", files=boundary)
    assert nested["params"] == flat["params"] == {"seed": 3, "num_inference_steps": 2}
    assert reply.json()["params"] == {"seed": "3", "num_inference_steps": "2"}


def test_seconds_may_be_text_and_frames_may_not_be_given_twice(http):
    assert create(http, seconds="2")["seconds"] == "2"
    reply = http.post("/v1/videos", json={"prompt": "x", "model": MODEL, "seconds": 2, "num_frames": 8})
    assert refused(reply, 400)["param"] == "seconds"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "request_error"),
        ({"model": "/etc/passwd"}, "model", "model_not_found"),
        ({"model": "someone/some-repo"}, "model", "model_not_found"),
        ({"sed": 1}, "sed", "unknown_name"),
        ({"device": "cuda"}, "device", "unknown_name"),
        ({"size": "big"}, "size", "request_error"),
        ({"seed": -1}, "seed", "request_error"),
        ({"seconds": 1e9}, "seconds", "request_error"),
        ({"params": "{"}, "params", "request_error"),
        ({"workflow": "../x.yaml"}, "workflow", "unknown_name"),
        ({"prompt": "\ud800"}, None, "request_error"),
    ],
)
def test_wrong_requests_are_refused_at_the_door(http, fields, param, code):
    body = json.dumps({"prompt": "bars", "model": MODEL, **fields})
    reply = http.post("/v1/videos", content=body, headers={"content-type": "application/json"})
    error = refused(reply, 400)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"no picture", 400), (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, 400)],
)
def test_broken_uploads_are_refused(http, data, status):
    reply = http.post(
        "/v1/videos",
        data={"prompt": "bars", "model": MODEL},
        files={"input_reference": ("../../x.png", data, "image/png")},
    )
    message = refused(reply, status)["message"]
    assert "/jobs/" not in message


def test_a_picture_is_taken_and_a_model_without_pictures_says_so(http):
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    reply = http.post(
        "/v1/videos",
        data={"prompt": "bars", "model": "sprout"},
        files={"input_reference": ("x.png", picture.getvalue(), "image/png")},
    )
    assert refused(reply, 400)["code"] == "unsupported_task"


PERSON = [[0.5, 0.1 + joint / 20, 0.9] for joint in range(18)]


def test_poses_come_with_the_request_and_move_a_picture(http):
    """Taken as far as the model's own limits are; a name would be read as a file of the server's."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")

    def asked(poses, model="mimicmotion-1.1", **fields):
        return http.post(
            "/v1/videos",
            data={"model": model, "poses": poses, **fields},
            files={"input_reference": ("x.png", picture.getvalue(), "image/png")},
        )

    poses = {"frames": [[PERSON]] * 4, "fps": 15}
    made = asked(json.dumps(poses), size="1024x576").json()
    assert (made["status"], made["size"], made["seconds"]) == ("queued", "1024x576", "0.267")
    assert made["params"]["poses"] == {"num_frames": 4}
    http.post(f"/v1/videos/{made['id']}/cancel")
    for said, words in (
        ("/etc/passwd", "poses is an object"),
        ("{", "not valid JSON"),
        (json.dumps({"frames": [[PERSON[:3]]]}), "3 joints"),
        (json.dumps({"frames": [[]]}), "show nobody"),
        (json.dumps({**poses, "fps": -1}), "fps"),
    ):
        assert words in refused(asked(said), 400)["message"]
    assert "motion-to-video" in refused(asked(json.dumps(poses), model="sprout-i2v"), 400)["message"]
    assert "mimicmotion-1.1" in refused(asked(json.dumps(poses), model=""), 400)["message"]
    reply = http.post("/v1/videos", json={"model": "mimicmotion-1.1", "poses": poses})
    assert "give the picture too" in refused(reply, 400)["message"]


def test_other_errors_have_the_same_shape(http):
    refused(http.get("/v1/nothing"), 404)
    refused(http.get("/v1/videos/video_none"), 404)
    refused(http.put("/v1/videos"), 405)
    refused(http.get("/v1/videos", params={"limit": 0}), 400)
    refused(http.post("/v1/videos", content=b"{", headers={"content-type": "application/json"}), 400)
    refused(http.post("/v1/videos", content=b"x", headers={"content-type": "text/plain"}), 415)
    refused(http.get("/v1/videos", headers={"origin": "http://other.example"}), 403)
    assert http.get("/health", headers={"host": "other.example"}).status_code == 400
    assert http.get("/openapi.json").json()["paths"]["/v1/videos"]["post"]["requestBody"]


def test_a_retry_with_the_same_key_is_one_job(http):
    body = {"prompt": "once", "model": MODEL}
    replies = [http.post("/v1/videos", json=body, headers={"idempotency-key": "k1"}) for _ in range(3)]
    assert len({reply.json()["id"] for reply in replies}) == 1
    other = http.post("/v1/videos", json={**body, "seed": 1}, headers={"idempotency-key": "k1"})
    assert refused(other, 422)["code"] == "key_reused"


def test_a_running_job_reports_waits_and_is_cancelled_within_a_step(http, ended):
    running = create(http, params=SLOW)
    waiting = create(http)
    names, last = [], None
    with http.stream("GET", f"/v1/videos/{running['id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
                if last["stage"] == "denoise" and last["status"] == "in_progress":
                    break
    assert names[-1] == "video.progress" and 1 <= last["step"] <= last["total"] == 1000
    assert refused(http.get(f"/v1/videos/{running['id']}/content"), 409)["code"] == "not_ready"
    refused(http.delete(f"/v1/videos/{running['id']}"), 409)
    poll = http.get(f"/v1/videos/{waiting['id']}")
    assert poll.json()["status"] == "queued" and poll.headers["openai-poll-after-ms"] == "1000"

    started = time.monotonic()
    cancelled = http.post(f"/v1/videos/{running['id']}/cancel").json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    assert ended(waiting["id"])["status"] == "completed"
    assert time.monotonic() - started < 20  # the whole run would have taken 100 s
    with http.stream("GET", f"/v1/videos/{running['id']}/events") as stream:
        assert [line for line in stream.iter_lines() if line.startswith("event")] == ["event: video.failed"]


def test_a_video_can_be_read_in_ranges(http, ended):
    video = ended(create(http)["id"])
    url = f"/v1/videos/{video['id']}/content"
    whole = http.get(url).content
    part = http.get(url, headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole[10:20]
    assert httpx.Headers(part.headers)["content-type"] == "video/mp4"
    assert video["recipe"]["stages"][0]["task"]["prompt"] == "bars"
