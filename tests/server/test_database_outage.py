"""The database goes away in the middle of a job, and comes back."""

import time

import httpx
import pytest

from tests.jobs import postgres
from tests.jobs.crew import wait_for
from tests.recording import recorded
from tests.server.conftest import serving

STEPS = {"num_inference_steps": 150, "seconds_a_step": 0.2}
AWAY_S = 14  # longer than a heart may stand still


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_job_outlives_its_database(tmp_path):
    if postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    asked = {"prompt": "bars", "model": "colour-bars", "params": STEPS}
    with (
        postgres.running() as database,
        serving(tmp_path / "house", "--database", database.url, "--workers", "2") as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        video_id = http.post("/v1/videos", json=asked).json()["id"]
        look = lambda: http.get(f"/v1/videos/{video_id}").json()  # noqa: E731
        wait_for(lambda: look()["stage"] == "denoise", 90)
        database.stop()
        replies = [
            http.get(f"/v1/videos/{video_id}"),
            http.post("/v1/videos", json=asked),
            http.get("/ready"),
        ]
        assert [reply.status_code for reply in replies] == [503] * 3
        assert all(reply.headers["retry-after"] and "127.0.0.1" not in reply.text for reply in replies)
        assert http.get("/health").status_code == 200
        time.sleep(AWAY_S)
        database.start()
        back = time.monotonic()
        wait_for(lambda: http.get("/ready").status_code == 200, 30)
        ready_after_s = time.monotonic() - back
        wait_for(lambda: look()["status"] != "in_progress", 120, every_s=0.5)
        video = look()
        other = http.post("/v1/videos", json={**asked, "params": {}}).json()["id"]
        wait_for(lambda: http.get(f"/v1/videos/{other}").json()["status"] == "completed", 30)
    assert (video["status"], video["error"]) == ("completed", None)
    assert video["inference_time_s"] < 60, (
        "the attempt that was under way has finished; it was not begun again"
    )
    recorded(
        "database-outage",
        away_s=AWAY_S,
        ready_again_after_s=round(ready_after_s, 1),
        job=video["status"],
        inference_time_s=video["inference_time_s"],
    )
