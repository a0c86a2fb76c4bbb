"""The denoiser split over processes gives what one process gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vitascope

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("release", ["1.2", "1.3"])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_split_by_tokens_equals_the_whole(num_processes, release):
    paths = [str(ROOT), str(Path(vitascope.__file__).parents[1])]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc_per_node={num_processes}",
            str(Path(__file__).with_name("split_opensora_plan.py")),
            release,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
    )
    said = re.search(rf"{num_processes} processes: max error (\S+), refused (\w+)", done.stdout)
    assert said, done.stderr[-2000:]
    assert float(said[1]) < 2e-6
    # Where a process would get padding, which no part could hold, it is refused.
    assert said[2] == str(release == "1.3" and num_processes == 4)
