"""The front door is light: what it must not import, checked instead of timed."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "numpy", "pydantic", "av", "cv2", "rich.console")
HELP = """
import vitascope.cli.main as m
try:
    m.app(["--help"])
except SystemExit:
    pass
"""


@pytest.mark.parametrize("code", ["import vitascope", HELP], ids=["import", "help"])
def test_imports_nothing_heavy(code):
    listing = f"{code}\nimport sys\nprint('heavy:', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "heavy:"
