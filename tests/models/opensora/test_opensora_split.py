"""The denoiser split over processes gives what one process gives."""

import re
from pathlib import Path

import pytest

from tests.models.processes import run_on_processes
from vitascope.models.opensora.plan import num_sites


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [2, 4])
def test_split_by_sites_equals_the_whole(num_processes):
    script = Path(__file__).with_name("split_opensora.py")
    done = run_on_processes(script, num_processes)
    said = re.search(rf"{num_processes} processes: max error (\S+)", done.stdout)
    assert said, done.stderr[-2000:]
    assert float(said[1]) < 1e-6


def test_the_sites_of_a_frame():
    assert num_sites(240, 426) == 15 * 27
    assert num_sites(720, 1280) == 45 * 80
