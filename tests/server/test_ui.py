"""The pages without a browser: what they name, who is let in, what their forms make."""

import re
import socket
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.evaluation.arena import run_of
from tests.server.browsing import served
from vitascope.errors import RequestError
from vitascope.evaluation.opinions import OpinionStore
from vitascope.evaluation.stand import open_stands
from vitascope.evaluation.votes import VoteStore
from vitascope.generators import known_models
from vitascope.jobs.house import House
from vitascope.jobs.office import Office
from vitascope.server.app import ServicePolicy, create_app
from vitascope.server.ui import chinese, fragments
from vitascope.server.ui import desk as desks
from vitascope.server.ui.desk import Desk as UiDesk
from vitascope.server.ui.jobs_page import settings_of
from vitascope.server.ui.room import Room
from vitascope.server.ui.training_desk import lessons_in
from vitascope.server.ui.words import EXAMPLES, LANGUAGES, Words

ADDRESS = re.compile(r"https?://[^\s\"'<>\\)]+")
NAMESPACES = ("http://www.w3.org/",)  # of SVG: a name, not an address


def foreign(text, own):
    return [found for found in ADDRESS.findall(text) if not found.startswith((own, *NAMESPACES))]


def test_pages_name_no_other_host_and_cannot_reach_one(desk):
    page = desk.http.get("/ui/en")
    assert page.status_code == 200 and "Create the clip" in page.text
    assert foreign(page.text, "http://127.0.0.1") == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "connect-src 'self'" in policy and "http" not in policy
    assert (
        page.headers["x-frame-options"] and page.headers["x-request-id"]
    )  # the service's own guard is around
    for asset in ("style.css", "page.js", "inter.woff2", "favicon.png"):
        assert desk.http.get(f"/ui/static/{asset}").status_code == 200
    assert foreign(desk.http.get("/ui/static/style.css").text, "http://127.0.0.1") == []
    refused = desk.http.post("/ui/en/gradio_api/run/predict", headers={"origin": "http://evil.test"}, json={})
    assert refused.status_code == 403
    assert desk.http.get("/ui/en", headers={"host": "evil.test"}).status_code == 400


def test_building_the_pages_connects_to_nobody(desk, monkeypatch):
    asked = []
    connect = socket.socket.connect

    def noted(self, address):
        asked.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    assert desk.http.get("/ui/zh").status_code == 200
    elsewhere = [address for address in asked if not str(address[0]).startswith(("127.", "/", "::1"))]
    assert elsewhere == []


def test_a_service_whose_pages_were_open_ends_without_a_word(tmp_path, caplog):
    office, told = Office(House(tmp_path / "house")), []
    with served(create_app(office, ServicePolicy())) as address:
        for language in LANGUAGES:
            told.append(httpx.get(f"{address}/ui/{language}/", timeout=60).status_code)
    office.close()
    assert told == [200, 200]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(("accepted", "language"), [("zh-CN,zh;q=0.9", "zh"), ("de-DE", "en"), ("", "en")])
def test_the_browsers_language_is_chosen(desk, accepted, language):
    reply = desk.http.get("/", headers={"accept-language": accepted}, follow_redirects=False)
    assert reply.headers["location"] == f"/ui/{language}"


def test_with_keys_the_pages_ask_for_one(desk):
    key = desk.key(scopes=("read",))["authorization"].removeprefix("Bearer ")
    door = desk.http.get("/ui/zh")
    assert door.url.path == "/ui/enter/zh" and 'type="password"' in door.text
    assert foreign(door.text, "http://127.0.0.1") == []
    for path in ("/ui/en/config", "/ui/zh/gradio_api/queue/data", "/ui/en/gradio_api/file=/etc/passwd"):
        assert desk.http.get(path, follow_redirects=False).status_code == 303
    assert desk.http.post("/ui/enter/zh", data={"key": f"{key}x"}).status_code == 401
    assert not desk.http.cookies
    reply = desk.http.post("/ui/enter/zh", data={"key": f" {key} "}, follow_redirects=False)
    assert reply.headers["location"] == "/ui/zh"
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert desk.http.get("/v1/videos").status_code == 200  # a page's video element sends the cookie alone
    wrong = desk.http.get("/v1/videos", headers={"authorization": "Bearer vk_0"})
    assert wrong.status_code == 401  # a key that is said counts, not the cookie
    desk.http.get("/ui/leave")
    assert desk.http.get("/v1/videos").status_code == 401


def test_no_file_of_the_machine_is_served(desk):
    for path in (
        "/ui/static/../mount.py",
        "/ui/static/%2e%2e/mount.py",
        "/ui/en/gradio_api/file=/etc/hostname",
    ):
        assert desk.http.get(path).status_code in (403, 404)


def test_every_word_stands_in_both_languages():
    english, chinese = (Words(language) for language in LANGUAGES)
    slots = re.compile(r"\{(\w+)\}")
    for key in english._texts:
        assert sorted(slots.findall(english[key])) == sorted(slots.findall(chinese[key])), key
        assert chinese[key].strip()
    assert len(EXAMPLES["en"]) == len(EXAMPLES["zh"])


def test_models_tell_their_defaults_and_presets():
    names = [choice.name for choice in desks.choices()]
    assert names[:2] == ["sprout", "sprout-i2v"] and "colour-bars" in names
    assert desks.defaults("cogvideox-5b")["num_inference_steps"] == 50
    assert [desks.steps_for("cogvideox-5b", preset) for preset in desks.PRESETS] == [25, 50, 88]
    assert desks.modes() == ("text-to-video", "image-to-video", "video-to-video")


def test_a_form_becomes_a_job_within_the_limits_of_its_key(desk):
    mine = UiDesk(desk.office)
    caller = desk.office.keys.check(desk.office.keys.create("a", max_open=1, best_priority=7)[1])
    fields = {
        "prompt": "<b>bars</b>",
        "model": "colour-bars",
        "params": {"seed": 5, "fps": "8"},
        "workflow": None,
    }
    job = mine.submit(caller, fields)
    assert (job.tenant, job.priority, job.order.options["seed"]) == (caller.tenant, 7, 5)
    with pytest.raises(RequestError, match="ask again"):
        mine.submit(caller, fields)
    assert mine.find(job.id, "local") is None
    shown = fragments.stage(job, Words("en"), eta_s=3.2, place=0, preview=b"x", grown=0)
    assert "&lt;b&gt;bars" in shown and "<b>bars" not in shown and "3.2 s" in shown


def test_a_workflow_is_run_again_from_a_step(desk):
    mine, caller = UiDesk(desk.office), desk.office.keys.check(desk.office.keys.create("a")[1])
    asked = {"prompt": "bars", "model": "colour-bars", "workflow": "text-to-video-plus"}
    first = desk.work(mine.submit(caller, {**asked, "params": {"interpolate.factor": 2, "seed": 4}}).id)
    assert (
        first.status == "completed"
        and first.seconds
        and first.result["recipe"]["stages"][-1]["knobs"]["factor"] == 2
    )
    again = mine.again(first, caller, settings_of("interpolate", "factor=3, method=dis"))
    kept = {path.name for path in (desk.office.house.job(again.id) / "clips").iterdir()}
    done = desk.work(again.id)
    assert done.status == "completed" and done.result["recipe"]["stages"][-1]["knobs"]["factor"] == 3
    after = {path.name for path in (desk.office.house.job(again.id) / "clips").iterdir()}
    assert kept and kept < after  # what came before the step was found, not made
    assert done.remixed_from == first.id
    for wrong in ("interpolate.weights", "expand-prompt.url", "reverse.and_forth"):
        with pytest.raises(RequestError, match="unknown setting"):
            mine.again(first, caller, {wrong: "x"})


@pytest.mark.parametrize("changes", ["factor", "=3", "factor=[1"])
def test_changes_that_cannot_be_read_are_named(changes):
    with pytest.raises(RequestError, match=r"name=value|cannot be read"):
        settings_of("interpolate", changes)


def test_workflows_offer_only_plain_settings():
    knobs = {knob.dotted: knob for workflow in desks.workflows() for knob in desks.knobs(workflow)}
    assert knobs["interpolate.factor"].kind is int and "dis" in knobs["interpolate.method"].kind
    assert not {"interpolate.weights", "expand-prompt.url", "expand-prompt.llm"} & set(knobs)


def test_chinese_pages_speak_chinese_where_words_come_from_elsewhere():
    assert (
        chinese.noted("848x480, 121 frames; distilled, twice as fast", "zh")
        == "848x480，121 帧；蒸馏版，速度加倍"
    )
    for _, known in known_models():
        assert not re.search("[a-z]{4,} [a-z]{3,}", chinese.noted(known.note, "zh")), known.name
    for workflow in desks.workflows():
        assert chinese.summarised(workflow.name, workflow.summary, "en") == workflow.summary
    assert "循环" in chinese.summarised("loop", "x", "zh")
    refused = "3 jobs wait or run already; ask again when one has ended"
    assert chinese.told(refused, "zh").startswith("已有 3 个任务") and chinese.told(refused, "en") == refused
    assert chinese.told("something else", "zh") == "something else"


def test_the_pages_keep_to_a_keys_rate(desk):
    caller = desk.office.keys.check(desk.office.keys.create("a", requests_a_minute=1)[1])
    gate = desk.app.state.gate
    room = Room(UiDesk(desk.office), Words("zh"), lambda _: caller, gate.slow_down, {})
    request = SimpleNamespace(headers={})
    assert room.tenant(request) == room.tenant(request) == caller.tenant  # looking is free
    assert room.caller(request) == caller
    with pytest.raises(gr.Error, match="此密钥每分钟最多请求 1 次"):
        room.caller(request)
    with pytest.raises(gr.Error, match="train"):
        room.caller(request, "train")


def test_dropped_captions_find_their_clips(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.txt").write_text("a red\nball")
    (tmp_path / "captions.csv").write_text("file,caption\nb.mp4,a green fish\n")
    files = [str(path) for path in tmp_path.iterdir()]
    found = {lesson.path.name: lesson.caption for lesson in lessons_in(files)}
    assert found == {"a.mp4": "a red ball", "b.mp4": "a green fish", "c.png": ""}
    with pytest.raises(RequestError, match=r"two clips are called 'a.mp4'"):
        lessons_in([*files, str(tmp_path / "other" / "a.mp4")])


def test_an_arena_of_the_service_asks_for_its_key(tmp_path):
    shades = {"sprout": {"one": np.full((4, 32, 32, 3), 90, np.uint8)}}
    shades["colour-bars"] = {"one": np.zeros((4, 32, 32, 3), np.uint8)}
    run_of(tmp_path / "toy", shades, {"one": "a grey square"})
    office = Office(House(tmp_path / "house"))
    with TestClient(
        create_app(office, ServicePolicy(), open_stands([tmp_path / "toy"])), base_url="http://127.0.0.1"
    ) as http:
        assert "Vitascope" in http.get("/arena/toy/").text
        looking = office.keys.create("a", tenant="team", scopes=("read",))[1]
        voting = office.keys.create("b", tenant="team")[1]
        http.app.state.gate.__dict__["_is_open"] = (0.0, False)
        assert http.get("/arena/toy/api/ballot?rater=ann").status_code == 401
        mine = {"authorization": f"Bearer {voting}"}
        ballot = http.get("/arena/toy/api/ballot?rater=ann", headers=mine).json()
        assert (
            http.get(
                f"/arena/toy/{ballot['left']}", headers={"cookie": f"vitascope_key={looking}"}
            ).status_code
            == 200
        )
        cast = {"ballot": ballot["ballot"], "rater": "ann", "choice": "left", "watched_s": 0.5}
        refused = http.post("/arena/toy/api/votes", json=cast, headers={"authorization": f"Bearer {looking}"})
        assert refused.status_code == 403
        assert http.post("/arena/toy/api/votes", json=cast, headers=mine).status_code == 201
        assert "Vitascope" in http.get("/arena/toy/scores/", headers=mine).text
        slip = http.get("/arena/toy/scores/api/slip?rater=ann", headers=mine).json()
        given = {"slip": slip["slip"], "rater": "ann", "score": 4, "watched_s": 0.5}
        assert http.post("/arena/toy/scores/api/opinions", json=given, headers=mine).status_code == 201
    assert [vote.rater for vote in VoteStore(tmp_path / "toy/votes.jsonl").read()] == ["team/ann"]
    assert [vote.rater for vote in OpinionStore(tmp_path / "toy/opinions.jsonl").read()] == ["team/ann"]
