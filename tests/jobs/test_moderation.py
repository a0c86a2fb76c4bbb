"""Judges: functions and endpoints, their refusals, their failures, and where a job meets them."""

import json
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, UnknownName
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.moderation import (
    Endpoint,
    Exhibit,
    ModerationBlocked,
    ModerationUnavailable,
    Moderator,
)
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.rules import Rules
from vitascope.labels.reading import found_in
from vitascope.poses import PoseSequence
from vitascope.settings import Settings
from vitascope.task import ImageToVideo, MotionToVideo, TextToVideo, TrajectoryToVideo

BARS = Order(prompt="bars", model="colour-bars")


def no_guns(exhibit):
    return "weapons" if "gun" in exhibit.text else None


def no_results(exhibit):
    return exhibit.kind != "result"


@pytest.fixture
def policies(monkeypatch):
    """A module of the deployment's own."""
    module = types.ModuleType("our_policies")
    module.no_guns, module.no_results, module.number = no_guns, no_results, 3
    monkeypatch.setitem(sys.modules, "our_policies", module)


@pytest.mark.parametrize("answer", [None, True, ""])
def test_lets_through(answer):
    Moderator(lambda _: answer).check(Exhibit("prompt", "x"))


@pytest.mark.parametrize(("answer", "told"), [(False, ""), ("weapons\nand more", ": weapons and more")])
def test_refuses_with_the_reason(answer, told):
    with pytest.raises(ModerationBlocked) as refusal:
        Moderator(lambda _: answer).check(Exhibit("upload"))
    assert str(refusal.value).endswith(f"moderation{told}") and refusal.value.param == "input_reference"
    assert refusal.value.code == "moderation_blocked" and refusal.value.http_status == 400


def fails(_):
    raise OSError("down: secret-address")


def sleeps(_):
    time.sleep(5)


@pytest.mark.parametrize("judge", [fails, sleeps])
def test_a_judge_that_fails_counts_as_a_refusal_unless_told_otherwise(judge):
    started = time.monotonic()
    with pytest.raises(ModerationUnavailable) as refusal:
        Moderator(judge, timeout_s=0.2).check(Exhibit("prompt", "x"))
    assert refusal.value.http_status == 503 and "secret" not in str(refusal.value)
    Moderator(judge, timeout_s=0.2, lets_through=True).check(Exhibit("prompt", "x"))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("kind", "more"),
    [(ImageToVideo, {}), (TrajectoryToVideo, {"trajectories": {"paths": [[[0, 0], [1, 1]]]}})],
)
def test_words_and_pictures_are_both_shown_to_the_judge(kind, more):
    seen = []
    moderator = Moderator(lambda exhibit: seen.append(exhibit))
    picture = Image(np.full((900, 1600, 3), 7, np.uint8))
    moderator.check_start(kind(prompt="walk", negative_prompt="blur", image=picture, **more))
    assert [(e.kind, e.text, len(e.pictures)) for e in seen] == [
        ("prompt", "walk\nblur", 0),
        ("upload", "walk\nblur", 1),
    ]
    assert seen[1].pictures[0].width == 512
    moderator.check_start(Clip(np.zeros((30, 16, 16, 3), np.uint8), 8))
    assert seen[2].kind == "upload" and len(seen[2].pictures) == 8
    moderator.check_start(MotionToVideo(image=picture, poses=PoseSequence(frames=((),))))
    assert seen[3].kind == "upload" and len(seen[3].pictures) == 1


@pytest.fixture
def endpoint():
    """A server of OpenAI's moderations route; what it says and what it heard."""
    heard, said = [], {"results": [{"flagged": False, "categories": {}}]}

    class Route(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(
                (
                    self.path,
                    dict(self.headers),
                    json.loads(self.rfile.read(int(self.headers["content-length"]))),
                )
            )
            data = json.dumps(said).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Route)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/moderations", heard, said
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_asked_as_openai_is(endpoint):
    url, heard, said = endpoint
    moderator = Moderator.of(Settings(home="x", moderation=url, moderation_key="k1"))
    moderator.check(Exhibit("result", "a cat", (Image(np.zeros((8, 8, 3), np.uint8)),)))
    path, headers, body = heard[0]
    assert (
        path == "/v1/moderations"
        and {k.lower(): v for k, v in headers.items()}["authorization"] == "Bearer k1"
    )
    assert body["input"][0] == {"type": "text", "text": "a cat"}
    assert body["input"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    said["results"] = [{"flagged": True, "categories": {"violence": True, "hate": False}}]
    with pytest.raises(ModerationBlocked, match="violence"):
        moderator.check(Exhibit("prompt", "x"))
    for nonsense in ({"results": []}, {"results": [{"flagged": "no"}]}, {"ok": True}):
        said.clear()
        said.update(nonsense)
        with pytest.raises(ModerationUnavailable):
            moderator.check(Exhibit("prompt", "x"))


def test_the_key_is_not_shown_by_mistake():
    assert "k1" not in repr(Moderator(Endpoint("http://x", "k1")))


@pytest.mark.parametrize(
    "name", ["our_policies:nobody", "our_policies:number", "no_such_module_x:f", "our_policies", ":f"]
)
def test_a_judge_that_is_none_is_refused_at_the_start(policies, name):
    with pytest.raises(RequestError, match="VITASCOPE_MODERATION"):
        Moderator.of(Settings(home="x", moderation=name))


# --- in the service


@pytest.fixture
def office(tmp_path):
    made = []

    def open_office(rules):
        made.append(Office(House(tmp_path / "house"), rules=rules))
        return made[-1]

    yield open_office
    for office in made:
        office.close()


def worked(office, job):
    JobRunner(office.house, office.ledger, Engine(Placement(device="cpu")), 60.0).work(job.id)
    return office.ledger.get(job.id)


def test_a_refused_prompt_leaves_nothing_behind(office):
    place = office(Rules(moderator=Moderator(no_guns)))
    with pytest.raises(ModerationBlocked, match="weapons"):
        place.submit(Submission(BARS.model_copy(update={"prompt": "a gun"})))
    assert place.ledger.counts() == {} and not list((place.house.root / "jobs").iterdir())
    assert place.submit(Submission(BARS)).order.is_moderated


def test_a_refused_result_is_never_written(office, policies, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODERATION", "our_policies:no_results")
    place = office(Rules.of_deployment())
    job = place.submit(Submission(BARS))
    ended = worked(place, job)
    assert (ended.status, ended.error_code) == ("failed", "moderation_blocked")
    assert not [
        path for path in place.house.job(job.id).rglob("*") if path.suffix in (".mp4", ".webp", ".jpg")
    ]


def test_a_worker_without_the_judge_refuses(office):
    place = office(Rules(moderator=Moderator(no_guns)))
    ended = worked(place, place.submit(Submission(BARS)))
    assert (ended.status, ended.error_code) == ("failed", "moderation_unavailable")


def test_a_deployments_label_is_on_every_file_and_no_order_takes_it_off(office, monkeypatch):
    place = office(Rules.of_deployment("cn"))
    job = place.submit(Submission(BARS.model_copy(update={"label": "none", "is_moderated": False})))
    assert job.order.label == "cn"
    monkeypatch.setenv("VITASCOPE_LABEL", "none")  # the worker's own does not matter
    assert worked(place, job).status == "completed"
    folder = place.house.job(job.id)
    assert found_in(folder / VIDEO)["visible_mark_s"] == 2.0
    for name in (VIDEO, "thumbnail.webp", "spritesheet.jpg"):
        found = found_in(folder / name)
        assert found["aigc"]["Label"] == "1" and found["visible_mark_s"] > 0
    with pytest.raises(UnknownName):
        place.submit(Submission(BARS.model_copy(update={"options": {"label": "none"}})))
    with pytest.raises(UnknownName):
        Rules.of_deployment("cm")


def test_a_task_without_words_is_not_asked_about():
    seen = []
    Moderator(lambda exhibit: seen.append(exhibit.kind)).check_start(TextToVideo(prompt="x"))
    assert seen == ["prompt"]
