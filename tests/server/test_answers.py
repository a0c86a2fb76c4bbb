"""Expiry, sizes, headers and paths: what every answer owes."""

import pytest

from tests.server.test_access import BARS, code, png
from vitascope.errors import OutOfMemory
from vitascope.jobs.house import VIDEO


def test_file_and_record_expire_together(desk):
    video = desk.http.post("/v1/videos", json=BARS).json()
    desk.runner.lifetime_s = -1
    desk.work(video["id"])
    address = f"/v1/videos/{video['id']}"
    for path in (address, f"{address}/content"):
        assert code(desk.http.get(path), 410) == "expired"
    assert code(desk.http.post(f"{address}/remix", json={"prompt": "x"}), 410) == "expired"
    edit = {"prompt": "x", "video": {"id": video["id"]}}
    assert code(desk.http.post("/v1/videos/edits", json=edit), 410) == "expired"
    assert desk.http.get("/v1/videos").json()["data"] == []


def test_what_is_too_large_is_refused_before_it_is_read(desk):
    def endless():
        yield b"x"

    headers = {"content-type": "application/json"}
    huge = {**headers, "content-length": str(10**10)}
    assert code(desk.http.post("/v1/videos", content=b"{}", headers=huge), 413) == "too_large"
    long = b'{"prompt": "' + b"x" * 2**20 + b'"}'
    assert code(desk.http.post("/v1/videos", content=long, headers=headers), 413) == "too_large"
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert code(desk.http.post("/v1/videos", content=endless(), headers=form), 411) == "length_required"
    page = {"input_reference": ("x.html", png(), "text/html")}
    assert code(desk.http.post("/v1/videos", data=BARS, files=page), 400) == "request_error"


def test_every_answer_carries_safe_headers(desk):
    for path in ("/health", "/v1/videos", "/v1/nothing", "/docs"):
        headers = desk.http.get(path).headers
        assert headers["x-request-id"].startswith("req_") and headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/videos/..%2f..%2fledger.sqlite/content",
        "/v1/videos/video_%00/content",
        "/v1/files/..%2f..%2fledger.sqlite/content",
        "/docs/assets/..%2f..%2f..%2fpyproject.toml",
        "/v1/videos/video_000000000000000000000000/../../ledger.sqlite",
    ],
)
def test_no_path_of_a_client_reaches_the_disk(desk, path):
    reply = desk.http.get(path)
    assert reply.status_code in (400, 404) and b"SQLite format" not in reply.content


def test_the_page_of_the_api_names_no_other_host(desk):
    for path in ("/docs", "/docs/start.js"):
        assert "http" not in desk.http.get(path).text.replace("<!doctype html>", "")
    assert desk.http.get("/docs/assets/swagger-ui-bundle.js").status_code == 200


def test_errors_of_jobs_tell_nothing_of_the_disk(desk, monkeypatch):
    video = desk.http.post("/v1/videos", json=BARS).json()
    folder = desk.office.house.job(video["id"])

    def broken(*_):
        raise RuntimeError(f"{folder}/{VIDEO} is broken")

    monkeypatch.setattr("vitascope.jobs.attempt._publish", broken)
    job = desk.work(video["id"])
    assert job.error_code == "internal_error" and str(folder) not in (job.error_message or "")


def test_where_home_is_the_root_errors_of_jobs_are_left_as_they_are(desk, monkeypatch):
    monkeypatch.setenv("HOME", "/")  # as in a container whose user no file knows
    video = desk.http.post("/v1/videos", json=BARS).json()

    def broken(*_):
        raise OutOfMemory("a side of 16/9 needs 3 GiB")

    monkeypatch.setattr("vitascope.jobs.attempt._publish", broken)
    assert desk.work(video["id"]).error_message == "a side of 16/9 needs 3 GiB"


def test_no_secret_is_written_to_the_log(desk, caplog):
    caplog.set_level("DEBUG")
    headers = desk.key()
    desk.http.post("/v1/videos", json=BARS, headers=headers)
    assert headers["authorization"].rpartition("_")[2] not in caplog.text
