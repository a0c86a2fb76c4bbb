"""Two API processes and a worker that share nothing but a PostgreSQL and an S3 store, and two that share SQLite."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import httpx
import pytest

from tests.jobs import postgres
from tests.jobs.crew import SOURCE, wait_for
from tests.jobs.s3 import s3_server
from tests.recording import recorded
from tests.server.conftest import serving
from vitascope.jobs.house import House
from vitascope.jobs.office import Office

MOVING = {"prompt": "a red ball", "model": "sprout", "params": {"seed": 1, "num_inference_steps": 16}}
RATE = 30


@contextmanager
def working(house, *flags):
    """`vitascope worker` as a user types it."""
    words = ["worker", "--house", str(house), "--device", "cpu", *flags]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "vitascope", *words], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("where", ["one machine, SQLite", "three machines, PostgreSQL and S3"])
def test_any_server_answers_for_any_job(tmp_path, where):
    far = where.startswith("three")
    if far and postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    places = [tmp_path / name for name in ("api-1", "api-2", "worker")] if far else [tmp_path / "house"] * 3
    with (
        postgres.server() if far else nullcontext("") as database,
        s3_server(tmp_path) if far else nullcontext("") as store,
    ):
        shared = ("--database", database, "--artifacts", store) if far else ()
        office = Office(House(places[0], database, store))
        key = office.keys.create("a", tenant="t", max_open=3)[1]
        limited = office.keys.create("b", tenant="t", requests_a_minute=RATE)[1]
        office.close()
        with (
            serving(places[0], "--workers", "0", *shared) as first,
            serving(places[1], "--workers", "0", *shared) as second,
            working(places[2], *shared),
        ):
            headers = {"authorization": f"Bearer {key}"}
            one, two = (httpx.Client(base_url=url, headers=headers, timeout=60) for url in (first, second))
            figures = one_job_at_two_doors(one, two)
            figures["passed_of_twice_the_rate"] = passed(one, two, limited)
            figures["accepted_of_eight_at_once"] = accepted(one, two)
    recorded(f"several-servers-{'s3' if far else 'sqlite'}", where=where, rate_a_minute=RATE, **figures)


def one_job_at_two_doors(one, two):
    """Made at one door, followed, fetched and removed at the other."""
    once = {"idempotency-key": "k"}
    video_id = one.post("/v1/videos", json=MOVING, headers=once).json()["id"]
    assert two.post("/v1/videos", json=MOVING, headers=once).json()["id"] == video_id
    events, previews = [], 0
    with two.stream("GET", f"/v1/videos/{video_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))
                previews += two.get(f"/v1/videos/{video_id}/preview").status_code == 200
    assert events[-1] == "video.completed" and previews, events
    whole = two.get(f"/v1/videos/{video_id}/content")
    assert whole.status_code == 200 and whole.content[4:8] == b"ftyp"
    assert one.get(f"/v1/videos/{video_id}/content", headers={"range": "bytes=4-7"}).content == b"ftyp"
    edit = {"prompt": "blue", "model": "colour-bars", "video": {"id": video_id}}
    edited = one.post("/v1/videos/edits", json=edit).json()["id"]
    wait_for(lambda: two.get(f"/v1/videos/{edited}").json()["status"] == "completed", 60)
    assert one.delete(f"/v1/videos/{video_id}").json()["deleted"]
    assert two.get(f"/v1/videos/{video_id}").status_code == 404
    return {"events": len(events), "previews": previews}


def passed(one, two, key):
    """How many of so many requests a key with a rate gets through both doors together."""
    headers, started = {"authorization": f"Bearer {key}"}, time.monotonic()
    statuses = [
        client.get("/v1/videos", headers=headers).status_code for client in (one, two) for _ in range(RATE)
    ]
    grown = (time.monotonic() - started) * RATE / 60 + 1
    assert RATE <= statuses.count(200) <= RATE + grown
    assert statuses.count(200) + statuses.count(429) == 2 * RATE
    return statuses.count(200)


def accepted(one, two):
    """How many of eight slow jobs, half at each door, a key that may have three open ones gets."""
    slow = {"prompt": "x", "model": "colour-bars", "params": {"num_inference_steps": 99, "seconds_a_step": 1}}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda client: client.post("/v1/videos", json=slow), (one, two) * 4))
    ids = [reply.json()["id"] for reply in replies if reply.status_code == 200]
    assert [reply.status_code for reply in replies].count(429) == 5
    for video_id in ids:
        assert two.post(f"/v1/videos/{video_id}/cancel").json()["error"]["code"] == "cancelled"
    return len(ids)
