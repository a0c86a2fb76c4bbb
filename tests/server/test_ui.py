"""The pages without a browser: what they name, who is let in, what their forms make."""

import re
import socket

import pytest

from vitascope.errors import RequestError
from vitascope.server.ui import desk as desks
from vitascope.server.ui import fragments
from vitascope.server.ui.desk import Desk as UiDesk
from vitascope.server.ui.jobs_page import settings_of
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
