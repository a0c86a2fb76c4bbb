"""How a service starts beside another one, and how it stops."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.jobs.crew import SOURCE, wait_for
from tests.server.conftest import free_port, serving
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger

SLOW = {
    "prompt": "bars",
    "model": "colour-bars",
    "params": {"num_inference_steps": 900, "seconds_a_step": 0.2},
}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_listeners_go_and_hands_the_job_back(tmp_path, blow):
    port, log = free_port(), tmp_path / "log"
    words = ["serve", "--port", str(port), "--house", str(tmp_path / "house"), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "vitascope", *words], env=environment, stdout=said, stderr=said
        )
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    wait_for(lambda: ready(http), 60)
    video_id = http.post("/v1/videos", json=SLOW).json()["id"]
    wait_for(lambda: http.get(f"/v1/videos/{video_id}").json()["stage"] == "denoise", 60)
    heard = []

    def listen():
        with http.stream("GET", f"/v1/videos/{video_id}/events") as stream:
            heard.extend(stream.iter_lines())

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(1)
    process.send_signal(blow)
    asked = time.monotonic()
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - asked < 8
    listener.join(10)
    assert "event: video.progress" in heard and not listener.is_alive()
    assert "Traceback" not in log.read_text() and len(log.read_text().splitlines()) == 1
    ledger = Ledger(House(tmp_path / "house").ledger_url)
    job = ledger.get(video_id)
    ledger.close()
    assert (job.status, job.attempts) == ("queued", 0), "it was handed back, and does not count"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_services_in_one_folder_have_workers_of_their_own(tmp_path):
    house = tmp_path / "house"
    with serving(house) as first:
        wait_for(lambda: workers(first) == 1, 60)
        with serving(house) as second:
            wait_for(lambda: workers(second) == 2, 60)
            ledger = Ledger(House(house).ledger_url)
            names = sorted(slot.rpartition("-")[2] for slot in ledger.slots())
            ledger.close()
            assert names == ["0", "1"]


def ready(http):
    with contextlib.suppress(httpx.TransportError):
        return http.get("/ready").status_code == 200


def workers(url):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vitascope_workers{"))
