"""Both wire forms of the stock client: versions 2.8.0 and 3.54.0, each in its own environment, all video methods."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.own_venv import own_venv
from tests.recording import recorded

VERSIONS = ("2.8.0", "3.54.0")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_method_of_the_stock_client_works(service, tmp_path, version):
    programs = own_venv(tmp_path / "venv", f"openai=={version}")
    script = Path(__file__).with_name("every_call.py")
    done = subprocess.run([programs / "python", script, service], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["openai"] == version and said["sync"] == said["async"]
    recorded(f"openai-client-{version}", methods=said["sync"], sync_and_async=True)
