"""The denoiser split over processes gives what one process gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vitascope
from vitascope.models.opensora.plan import num_sites

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [2, 4])
def test_split_by_sites_equals_the_whole(num_processes):
    paths = [str(ROOT), str(Path(vitascope.__file__).parents[1])]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc_per_node={num_processes}",
            str(Path(__file__).with_name("split_opensora.py")),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
    )
    said = re.search(rf"{num_processes} processes: max error (\S+)", done.stdout)
    assert said, done.stderr[-2000:]
    assert float(said[1]) < 1e-6


def test_the_sites_of_a_frame():
    assert num_sites(240, 426) == 15 * 27
    assert num_sites(720, 1280) == 45 * 80
