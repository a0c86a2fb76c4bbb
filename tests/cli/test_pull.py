"""`vitascope pull` against a hub of our own on this machine, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.cli.hub_server import COMMIT, HubServer, serving
from vitascope.engine import modelscope

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a CogVideoX, with one large file."""
    folder = tmp_path / "published"
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "CogVideoXPipeline"}')
    (folder / "transformer" / "config.json").write_text('{"_class_name": "CogVideoXTransformer3DModel"}')
    (folder / WEIGHTS).write_bytes(os.urandom(3 * 2**20))
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(os.urandom(4096))
    return folder


def start(home: Path, endpoint: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`vitascope WORDS` with its own cache, asking the hub at `endpoint`."""
    env = {
        **{k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "VITASCOPE_OFFLINE")},
        "HF_HOME": str(home / "hf"),
        "VITASCOPE_HOME": str(home / "vitascope"),
        "HF_ENDPOINT": endpoint,
        "MODELSCOPE_DOMAIN": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        **environment,
    }
    command = [sys.executable, "-m", "vitascope", *words]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(home: Path, endpoint: str, *words: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `vitascope WORDS`."""
    process = start(home, endpoint, *words, **environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def weights_here(home: Path) -> Path:
    return home / "hf" / "hub" / "models--acme--tiny" / "snapshots" / COMMIT / WEIGHTS


def partial(home: Path) -> list[Path]:
    return list((home / "hf").rglob("*.partial"))


def fetched(handler: type[HubServer]) -> list[str | None]:
    """The Range of every request for the large file."""
    return [wanted for name, wanted in handler.asked if name == WEIGHTS]


def test_a_killed_pull_goes_on_where_it_stopped_and_is_checked(model: Path, tmp_path: Path) -> None:
    whole = (model / WEIGHTS).read_bytes()
    with serving(model) as (endpoint, handler):
        handler.cut_at, handler.stall = 2**20, threading.Event()
        process = start(tmp_path, endpoint, "pull", "acme/tiny", "-q")
        deadline = time.monotonic() + 60
        while not (partial(tmp_path) and partial(tmp_path)[0].stat().st_size >= 2**20):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        assert not weights_here(tmp_path).exists()

        handler.stall.set()
        handler.cut_at = None
        code, out, err = run(tmp_path, endpoint, "pull", "acme/tiny", "-q")
        assert code == 0, err
        assert fetched(handler) == [None, f"bytes={2**20}-"]
        assert weights_here(tmp_path).read_bytes() == whole
        assert f"from {endpoint}" in out and "sha256 of 1 large ones is right" in out
        assert not partial(tmp_path)
        assert not [name for name, _ in handler.asked if name.endswith(".bin")], "a second copy was fetched"

        weights_here(tmp_path).resolve().write_bytes(whole[:-1] + b"x")
        code, out, err = run(tmp_path, endpoint, "pull", "acme/tiny", "--check", "-q")
        assert code == 0, err
        assert f"1 damaged and removed: {WEIGHTS}" in out
        assert weights_here(tmp_path).read_bytes() == whole


def test_what_goes_wrong_is_one_clear_line(model: Path, tmp_path: Path) -> None:
    with serving(model) as (endpoint, handler):
        handler.damaged = True
        code, _, err = run(tmp_path, endpoint, "pull", "acme/tiny", "-q")
        assert code == 3 and "arrived damaged (sha256" in err and err.count("\n") == 1
        assert not weights_here(tmp_path).exists() and not partial(tmp_path)
        handler.damaged = False

        code, _, err = run(tmp_path, endpoint, "pull", "acme/gated", "-q")
        assert code == 3 and err.count("\n") == 1
        assert "gated: accept its licence at" in err and "hf auth login" in err

        for status in (429, 500):
            code, _, err = run(tmp_path, endpoint, "pull", f"acme/http-{status}", "-q")
            assert code == 3 and err.count("\n") == 1
            assert f"{endpoint} answers HTTP {status}" in err

        code, _, err = run(tmp_path, endpoint, "pull", "acme/tiny", "-q", HF_HUB_OFFLINE="1")
        assert code == 3 and err.count("\n") == 1


@pytest.mark.parametrize(
    ("hub", "there"),
    [
        ("zai-org/CogVideoX-2b", "ZhipuAI/CogVideoX-2b"),
        ("alibaba-pai/CogVideoX-Fun-V1.1-5b-Control", "PAI/CogVideoX-Fun-V1.1-5b-Control"),
        ("stabilityai/stable-video-diffusion-img2vid-xt", "AI-ModelScope/stable-video-diffusion-img2vid-xt"),
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    ],
)
def test_publishers_with_another_name_on_modelscope_are_known(hub: str, there: str) -> None:
    assert modelscope.name_there(hub) == there


def test_modelscope_and_dry_runs(model: Path, tmp_path: Path) -> None:
    with serving(model) as (endpoint, handler):
        code, out, err = run(tmp_path, endpoint, "pull", "acme/tiny", "--dry-run")
        assert code == 0, err
        assert "to fetch" in out and not fetched(handler)

        arguments = ("pull", "acme/tiny", "--from", "modelscope", "--repo", "acme/other", "-q")
        code, out, err = run(tmp_path, endpoint, *arguments, HF_ENDPOINT="http://127.0.0.1:9")
        assert code == 0, err
        kept = tmp_path / "vitascope" / "modelscope" / "acme" / "tiny" / WEIGHTS
        assert kept.read_bytes() == (model / WEIGHTS).read_bytes()
        code, _, err = run(tmp_path, "http://127.0.0.1:9", "models", "--json", HF_HUB_OFFLINE="1")
        assert code == 0, err
