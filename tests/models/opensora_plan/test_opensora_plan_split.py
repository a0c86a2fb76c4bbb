"""The denoiser split over processes gives what one process gives."""

import re
from pathlib import Path

import pytest

from tests.models.processes import run_on_processes


@pytest.mark.slow
@pytest.mark.parametrize("release", ["1.2", "1.3"])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_split_by_tokens_equals_the_whole(num_processes, release):
    script = Path(__file__).with_name("split_opensora_plan.py")
    done = run_on_processes(script, num_processes, release)
    said = re.search(rf"{num_processes} processes: max error (\S+), refused (\w+)", done.stdout)
    assert said, done.stderr[-2000:]
    assert float(said[1]) < 2e-6
    # Where a process would get padding, which no part could hold, it is refused.
    assert said[2] == str(release == "1.3" and num_processes == 4)
