"""Load on a running service: half creates, half look-ups, by the native load client hey; then 200 SSE listeners.

    python benchmarks/service_load.py                                        # SQLite
    python -m tests.jobs.postgres python benchmarks/service_load.py          # PostgreSQL

The generator is `colour-bars`, which needs no model; the path through ledger, queue and workers is production's.
Latencies are hey's own, from the first byte sent to the last byte read.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

A_CONNECTION = (
    25  # requests a second; hey sends those of its own connections in bursts, so each has its own hey
)
BODY = json.dumps({"prompt": "bars", "model": "colour-bars", "steps": 1})
NUM_LISTENERS = 200
LISTEN_S = 10


@contextmanager
def service(workers: int):
    """A fresh service with so many workers: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as house:
        words = ["serve", "--port", str(port), "--house", house, "--workers", str(workers), "--device", "cpu"]
        command = [sys.executable, "-m", "vitascope", *words, "--max-open", "1000000"]
        process = subprocess.Popen(command, env={**os.environ, **fresh_database(), "OMP_NUM_THREADS": "1"})
        url = f"http://127.0.0.1:{port}"
        try:
            wait_ready(url, process)
            if workers:  # until the worker has made its first clip, it is busy with imports
                wait_completed(url, create(url)["id"])
            yield url, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def fresh_database() -> dict[str, str]:
    """An empty one on the same server, where there is one: what an earlier service has queued would come first."""
    url = os.environ.get("VITASCOPE_DATABASE", "")
    if not url:
        return {}
    import psycopg

    name = f"load_{time.time_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return {"VITASCOPE_DATABASE": f"{url.rpartition('/')[0]}/{name}"}


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the service ended"
        try:
            urllib.request.urlopen(f"{url}/ready").close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the service did not get ready")


def create(url: str, **fields: object) -> dict:
    data = json.dumps({**json.loads(BODY), **fields}).encode()
    request = urllib.request.Request(f"{url}/v1/videos", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def wait_completed(url: str, video_id: str) -> None:
    for _ in range(1200):
        with urllib.request.urlopen(f"{url}/v1/videos/{video_id}") as reply:
            if json.load(reply)["status"] == "completed":
                return
        time.sleep(0.1)
    raise TimeoutError("the worker made nothing")


def attack(url: str, rate: float, seconds: int, *words: str) -> list[subprocess.Popen[str]]:
    """Several heys at a steady rate, evenly spaced, in the background."""
    started = []
    for _ in range(round(rate / A_CONNECTION)):
        limits = ["-z", f"{seconds}s", "-c", "1", "-q", str(A_CONNECTION)]
        command = ["hey", *limits, "-o", "csv", *words, url]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        time.sleep(1 / rate)
    return started


def figures(heys: list[subprocess.Popen[str]], seconds: int) -> dict[str, float]:
    """What they measured."""
    rows = [row for hey in heys for row in csv.DictReader(io.StringIO(hey.communicate()[0]))]
    times = sorted(float(row["response-time"]) * 1000 for row in rows)
    at = lambda share: round(times[min(len(times) - 1, int(share * len(times)))], 2)  # noqa: E731
    return {
        "requests_a_second": round(len(rows) / seconds, 1),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "not_200": sum(row["status-code"] != "200" for row in rows),
    }


def measure_requests(url: str, process: subprocess.Popen[bytes], rate: int, seconds: int) -> dict:
    video_id = create(url)["id"]
    server = psutil.Process(process.pid)
    cpu = sum(server.cpu_times()[:2])
    post = ("-m", "POST", "-T", "application/json", "-d", BODY)
    creates = attack(f"{url}/v1/videos", rate / 2, seconds, *post)
    reads = attack(f"{url}/v1/videos/{video_id}", rate / 2, seconds)
    row = {"create": figures(creates, seconds), "retrieve": figures(reads, seconds)}
    used = sum(server.cpu_times()[:2]) - cpu
    return {"rate": rate, **row, "server_cpu_percent": round(100 * used / seconds, 1)}


async def listen(host: str, port: int, video_id: str, until: float) -> list[float]:
    """When events came in on one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /v1/videos/{video_id}/events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    came = []
    while (left := until - time.monotonic()) > 0:
        try:
            line = await asyncio.wait_for(reader.readline(), left)
        except TimeoutError:
            break
        if line.startswith(b"event: "):
            came.append(time.monotonic())
        if not line:
            break
    writer.close()
    return came


def measure_listeners(url: str, process: subprocess.Popen[bytes]) -> dict:
    video_id = create(url, steps=1000, seconds_a_step=0.2)["id"]
    for _ in range(600):
        with urllib.request.urlopen(f"{url}/v1/videos/{video_id}") as reply:
            if json.load(reply)["stage"] == "denoise":
                break
        time.sleep(0.1)
    host, port = url.removeprefix("http://").split(":")
    server = psutil.Process(process.pid)

    async def all_listen() -> tuple[list[list[float]], float]:
        until = time.monotonic() + LISTEN_S + 2
        tasks = [asyncio.create_task(listen(host, int(port), video_id, until)) for _ in range(NUM_LISTENERS)]
        await asyncio.sleep(2)  # all are connected: from here on the steady state is measured
        cpu = sum(server.cpu_times()[:2])
        came = await asyncio.gather(*tasks)
        return came, sum(server.cpu_times()[:2]) - cpu

    came, used = asyncio.run(all_listen())
    return {
        "listeners": NUM_LISTENERS,
        "events_a_second_each": round(statistics.mean(len(times) for times in came) / (LISTEN_S + 2), 2),
        "server_cpu_percent": round(100 * used / LISTEN_S, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    database = "postgresql" if os.environ.get("VITASCOPE_DATABASE") else "sqlite"
    result: dict = {
        "conditions": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cores_for_this_process": len(os.sched_getaffinity(0)),
            "load_client": "hey",
            "database": database,
            "versions": {name: version(name) for name in ("dbos", "fastapi", "uvicorn", "sqlalchemy")},
        },
        "requests": [],
    }
    for workers in (0, 1):
        with service(workers) as (url, process):
            for rate in given.rates:
                row = {
                    "workers": "busy" if workers else "none",
                    **measure_requests(url, process, rate, given.seconds),
                }
                result["requests"].append(row)
                print(json.dumps(row), flush=True)
    with service(1) as (url, process):
        result["events"] = measure_listeners(url, process)
        print(json.dumps(result["events"]), flush=True)
    out = given.out or Path(f"benchmarks/results/{datetime.now(UTC).date()}-service-load-{database}.json")
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
