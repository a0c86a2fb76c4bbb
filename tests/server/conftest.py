"""One service process for all tests of this folder: the command that a user types, with one worker."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.server.browser import LONG_MS
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import House
from vitascope.jobs.office import Office
from vitascope.server.app import ServicePolicy, create_app

SOURCE = Path(__file__).parents[2] / "src"
START_S = 90
MODEL = "colour-bars"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(house, *flags):
    """`vitascope serve` for a block, with one worker unless `flags` say otherwise; gives its address."""
    port = free_port()
    device = () if "--workers" in flags else ("--device", "cpu")
    words = ["serve", "--port", str(port), "--house", str(house), *device, *flags]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "vitascope", *words], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/ready").status_code == 200:
                    break
            time.sleep(0.2)
        assert process.poll() is None, "the service ended"
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """The address of a running service."""
    with serving(tmp_path_factory.mktemp("house")) as url:
        yield url


@pytest.fixture
def http(service):
    """A plain HTTP client of the service."""
    with httpx.Client(base_url=service, timeout=60) as client:
        yield client


@pytest.fixture
def ended(http):
    """Waits for a job to end and gives it."""

    def wait(video_id, timeout_s=90):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            video = http.get(f"/v1/videos/{video_id}").json()
            if video["status"] in ("completed", "failed"):
                return video
            time.sleep(0.1)
        raise AssertionError(f"{video_id} did not end in {timeout_s} s")

    return wait


@dataclass
class Desk:
    """A service in this process, without a worker process: `work` makes a job's clip here and now."""

    office: Office
    runner: JobRunner
    app: FastAPI
    http: TestClient

    def work(self, video_id):
        self.runner.work(video_id)
        return self.office.ledger.get(video_id)

    def key(self, name="a", **options):
        """The headers of a new key's caller."""
        self.app.state.gate.__dict__["_is_open"] = (0.0, False)
        return {"authorization": f"Bearer {self.office.keys.create(name, **options)[1]}"}


@pytest.fixture
def desk(tmp_path):
    office = Office(House(tmp_path / "house"))
    runner = JobRunner(office.house, office.ledger, Engine(Placement(device="cpu")), 3600, queue=office.queue)
    app = create_app(office, ServicePolicy(webhook_hosts=("127.0.0.1",)))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Desk(office, runner, app, client)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "no Chromium: scripts/browser-packages.sh installs it"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, service):
    """Opens pages of a size; at the end no request may have gone elsewhere, and nothing may have failed."""
    contexts, elsewhere, failed = [], [], []

    def noted(request):
        if not request.url.startswith((service, "data:", "blob:")):
            elsewhere.append(request.url)

    def open_at(path, size):
        width, height = size
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, locale="de-DE"))
        page = contexts[-1].new_page()
        page.set_default_timeout(LONG_MS)
        page.on("request", noted)
        page.on("response", lambda reply: reply.status >= 400 and failed.append((reply.status, reply.url)))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{service}{path}")
        page.wait_for_selector("#create-make")
        page.wait_for_selector("#head .vs-state:not(.vs-off)")  # a worker is there
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert failed == []
