"""The compose file and the Kubernetes manifest: checked by schemas, and their commands run as they stand there."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.jobs import postgres
from tests.jobs.crew import SOURCE, wait_for
from tests.own_venv import own_venv
from tests.server.conftest import free_port

DEPLOY = Path(__file__).parents[1] / "deploy"
BARS = {"prompt": "bars", "model": "colour-bars"}


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def kubernetes():
    """Each container of the manifest by its name."""
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pods = [part["spec"]["template"]["spec"] for part in found if "template" in part["spec"]]
    return {container["name"]: container for pod in pods for container in pod["containers"]}


def commands():
    """What the containers of both run: the API's words, and a worker's."""
    from_compose = [compose()[name]["command"].split() for name in ("api", "worker")]
    from_kubernetes = [kubernetes()[name]["args"] for name in ("api", "worker")]
    return [from_compose, from_kubernetes]


@contextmanager
def container(words, environment):
    process = subprocess.Popen([sys.executable, "-m", "vitascope", *words], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_the_schemas_know_every_word(tmp_path):
    programs = own_venv(tmp_path / "venv", "check-jsonschema", "kubernetes-validate")
    checks = (
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        ["kubernetes-validate", "--strict", DEPLOY / "kubernetes.yaml"],
    )
    for name, *words in checks:
        done = subprocess.run([programs / name, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("which", [0, 1], ids=["compose", "kubernetes"])
def test_the_commands_make_a_service(tmp_path, which):
    if postgres.tools() is None:
        pytest.skip("PostgreSQL is not installed: scripts/proof-packages.sh")
    api, worker = commands()[which]
    port = free_port()
    with ExitStack() as stack:
        environment = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "OMP_NUM_THREADS": "1",
            "VITASCOPE_DATABASE": stack.enter_context(postgres.server()),
            "VITASCOPE_ARTIFACTS": "",
            "VITASCOPE_HOME": str(tmp_path / "files"),
        }
        key = subprocess.run(
            [sys.executable, "-m", "vitascope", "keys", "create", "me"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        stack.enter_context(container([*api, "--port", str(port)], environment))
        stack.enter_context(container(["cpu" if word == "cuda" else word for word in worker], environment))
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        wait_for(lambda: answers(http, "/ready"), 60)
        for probe in ("readinessProbe", "livenessProbe"):
            assert answers(http, kubernetes()["api"][probe]["httpGet"]["path"])
        assert http.post("/v1/videos", json=BARS).status_code == 401
        http.headers["authorization"] = f"Bearer {key}"
        video_id = http.post("/v1/videos", json=BARS).json()["id"]
        wait_for(lambda: http.get(f"/v1/videos/{video_id}").json()["status"] == "completed", 60)
        assert http.get(f"/v1/videos/{video_id}/content").content[4:8] == b"ftyp"
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 30, "so long has a pod that is told to stop"


def answers(http, path):
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False
