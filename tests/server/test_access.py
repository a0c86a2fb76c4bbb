"""API keys: who is let in, what each may see and do, and how often."""

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from vitascope.jobs.office import Office, Submission, TooManyJobs
from vitascope.jobs.order import Order
from vitascope.server.app import ServicePolicy, create_app

BARS = {"prompt": "bars", "model": "colour-bars"}


def made(desk, headers, **fields):
    reply = desk.http.post("/v1/videos", json={**BARS, **fields}, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def code(reply, status):
    assert reply.status_code == status, reply.text
    return reply.json()["error"]["code"]


def test_without_keys_loopback_is_open_and_the_first_key_closes_it(desk):
    assert desk.http.get("/v1/videos").status_code == 200
    headers = desk.key()
    reply = desk.http.get("/v1/videos")
    assert code(reply, 401) == "invalid_api_key" and reply.headers["www-authenticate"] == "Bearer"
    assert desk.http.get("/v1/videos", headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic abc", "Bearer vk_0_0", "Bearer \xff"])
def test_wrong_keys_are_refused(desk, header):
    desk.key()
    reply = desk.http.get("/v1/videos", headers={"authorization": header.encode("latin-1")})
    assert code(reply, 401) == "invalid_api_key"


def test_a_key_with_one_letter_changed_or_revoked_is_refused(desk):
    key, text = desk.office.keys.create("a")
    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), text.replace(key.id, "0" * 16)):
        assert desk.office.keys.check(wrong) is None
    assert desk.office.keys.check(text) == key
    desk.office.keys.revoke(key.id)
    assert desk.office.keys.check(text) is None
    assert desk.office.keys.any(), "a service that once had keys stays closed"


def test_only_the_hash_is_on_the_disk(desk):
    _, text = desk.office.keys.create("a")
    secret = text.rsplit("_", 1)[0] and text[len("vk_") + 17 :]
    rows = sqlite3.connect(desk.office.house.root / "ledger.sqlite").execute("SELECT * FROM keys").fetchall()
    assert secret not in str(rows) and hashlib.sha256(secret.encode()).hexdigest() in str(rows)


def test_tenants_see_nothing_of_each_other(desk):
    one, other = desk.key("one"), desk.key("other")
    video_id = made(desk, one)
    desk.work(video_id)
    file_id = desk.http.post(
        "/v1/files", headers=one, data={"purpose": "vision"}, files={"file": ("x.png", png())}
    ).json()["id"]
    address = f"/v1/videos/{video_id}"
    asked = [
        ("get", address, {}),
        ("get", f"{address}/content", {}),
        ("get", f"{address}/events", {}),
        ("post", f"{address}/cancel", {}),
        ("delete", address, {}),
        ("post", f"{address}/remix", {"json": {"prompt": "x"}}),
        ("post", "/v1/videos/edits", {"json": {"prompt": "x", "video": {"id": video_id}}}),
        ("get", f"/v1/files/{file_id}", {}),
        ("get", f"/v1/files/{file_id}/content", {}),
        ("delete", f"/v1/files/{file_id}", {}),
    ]
    for method, path, body in asked:
        assert desk.http.request(method, path, headers=other, **body).status_code == 404, path
        gone = path.replace(video_id, "video_" + "0" * 24).replace(file_id, "file-" + "0" * 24)
        there, nothing = (
            desk.http.request(method, where, headers=other, **body).json()["error"] for where in (path, gone)
        )
        assert there["code"] == nothing["code"], "another's and nobody's look alike"
    assert desk.http.get("/v1/videos", headers=other).json()["data"] == []
    named = desk.http.post(
        "/v1/videos", headers=other, json={**BARS, "input_reference": {"file_id": file_id}}
    )
    assert code(named, 404) == "not_found"
    assert desk.http.get(address, headers=one).status_code == 200


def test_keys_of_one_tenant_share_their_jobs(desk):
    one, other = desk.key("one", tenant="team"), desk.key("other", tenant="team")
    assert desk.http.get(f"/v1/videos/{made(desk, one)}", headers=other).status_code == 200


def test_scopes(desk):
    reader, watcher = desk.key(scopes=["read"]), desk.key(scopes=["metrics"])
    assert code(desk.http.post("/v1/videos", json=BARS, headers=reader), 403) == "missing_scope"
    assert code(desk.http.get("/metrics", headers=reader), 403) == "missing_scope"
    assert code(desk.http.get("/v1/videos", headers=watcher), 403) == "missing_scope"
    assert b"vitascope_jobs" in desk.http.get("/metrics", headers=watcher).content


def test_a_key_that_asks_too_often_is_told_when_to_come_back(desk):
    headers = desk.key(requests_a_minute=3)
    statuses = [desk.http.get("/v1/videos", headers=headers).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    reply = desk.http.get("/v1/videos", headers=headers)
    assert code(reply, 429) == "rate_limit_exceeded" and 1 <= int(reply.headers["retry-after"]) <= 20


def test_a_rate_is_counted_over_all_processes(desk):
    headers = desk.key(requests_a_minute=4)
    with TestClient(create_app(Office(desk.office.house)), base_url="http://127.0.0.1") as other:
        both = [client.get("/v1/videos", headers=headers) for client in (desk.http, other) * 3]
    assert [reply.status_code for reply in both] == [200] * 4 + [429] * 2
    assert 1 <= int(both[-1].headers["retry-after"]) <= 15


def test_requests_that_come_at_once_get_no_more_than_their_rate(desk):
    key, _ = desk.office.keys.create("a", requests_a_minute=5)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: desk.office.keys.wait_s(key), range(24)))
    assert sum(wait == 0 for wait in waits) == 5


def test_jobs_that_come_at_once_are_no_more_than_allowed(desk):
    order = Order(prompt="bars", model="colour-bars")

    def status(_):
        try:
            return desk.office.submit(Submission(order, tenant="t", max_open=3)).status
        except TooManyJobs:
            return "too many"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(status, range(16)))
    assert sorted(said) == ["queued"] * 3 + ["too many"] * 13
    assert desk.office.ledger.num_open("t") == 3


def test_a_key_with_too_many_open_jobs_is_told_so(desk):
    headers = desk.key(max_open=1)
    made(desk, headers)
    reply = desk.http.post("/v1/videos", json=BARS, headers=headers)
    assert code(reply, 429) == "too_many_jobs" and reply.headers["retry-after"]


def test_jobs_beyond_a_keys_limit_wait_outside_the_queue(desk):
    headers = desk.key(max_running=1)
    first, second, third = (made(desk, headers, priority=priority) for priority in (5, 9, 5))
    known = lambda: set(desk.office.queue.statuses([first, second, third]))  # noqa: E731
    assert known() == {first}
    desk.work(first)
    assert known() == {first, third}, "the more urgent of both"
    desk.http.post(f"/v1/videos/{third}/cancel", headers=headers)
    assert known() == {first, second, third}


def test_priority_is_limited_by_the_key(desk):
    assert (
        code(desk.http.post("/v1/videos", json={**BARS, "priority": 1}, headers=desk.key()), 403)
        == "priority"
    )
    urgent = desk.key(best_priority=1)
    assert made(desk, urgent, priority=1)


def test_a_service_for_others_asks_for_keys_from_the_start(desk):
    app = create_app(desk.office, ServicePolicy(hosts=("*",), open_without_keys=False))
    http = TestClient(app, base_url="http://api.example")  # no lifespan: the office stays the desk's
    assert code(http.get("/v1/videos"), 401) == "invalid_api_key"
    assert http.get("/metrics").status_code == 401 and http.get("/health").status_code == 200
    _, text = desk.office.keys.create("first")
    assert http.get("/v1/videos", headers={"authorization": f"Bearer {text}"}).status_code == 200


def png(size=(8, 8)):
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", size, "red").save(data, "PNG")
    return data.getvalue()
