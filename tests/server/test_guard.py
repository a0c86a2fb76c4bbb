"""What every answer has in common, whatever route was asked for."""

import pytest

BARS = {"prompt": "bars", "model": "colour-bars"}


@pytest.fixture
def done(desk):
    video_id = desk.http.post("/v1/videos", json=BARS).json()["id"]
    desk.work(video_id)
    return video_id


@pytest.mark.parametrize("path", ["/health", "/v1/videos", "/v1/videos/{id}", "/v1/videos/{id}/content"])
def test_what_can_be_got_can_be_asked_about(desk, done, path):
    path = path.format(id=done)
    head, whole = desk.http.head(path), desk.http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == whole.headers.get(name)


def test_a_head_of_what_is_not_there_or_goes_on_for_long_ends(desk, done):
    assert desk.http.head("/v1/videos/video_0").status_code == 404
    waiting = desk.http.post("/v1/videos", json=BARS).json()["id"]
    assert desk.http.head(f"/v1/videos/{waiting}/content").status_code == 409


def test_a_wrong_method_is_told_the_right_ones(desk):
    reply = desk.http.put("/v1/videos/video_0/content")
    assert reply.status_code == 405 and "GET" in reply.headers["allow"]
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "[::2]:80"])
def test_a_foreign_host_name_is_refused_in_the_same_shape(desk, host):
    reply = desk.http.get("/v1/videos", headers={"host": host})
    assert reply.status_code == 400 and reply.json()["error"]["code"] == "host"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "[::1]"])
def test_its_own_names_are_known(desk, host):
    assert desk.http.get("/v1/videos", headers={"host": host}).status_code == 200


def test_a_lost_database_and_a_full_disk_are_the_services_trouble_not_a_crash(desk, monkeypatch):
    import errno

    from sqlalchemy.exc import OperationalError

    def lost(*_):
        raise OperationalError("select secret", {}, Exception("connection to 10.0.0.1 refused"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr(desk.office.ledger, "num_open", lost)
    reply = desk.http.post("/v1/videos", json=BARS)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "database_unavailable")
    assert "secret" not in reply.text and reply.headers["retry-after"]
    monkeypatch.setattr(desk.office.ledger, "num_open", lambda _: 0)
    monkeypatch.setattr("vitascope.jobs.office.prepare", full)
    reply = desk.http.post("/v1/videos", json=BARS)
    assert (reply.status_code, reply.json()["error"]["code"]) == (507, "disk_full")
    assert "secret" not in reply.text
    assert not list((desk.office.house.root / "jobs").iterdir()), "nothing is left of it"
