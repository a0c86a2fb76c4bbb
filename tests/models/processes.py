"""Runs a script of the tests on several processes of one machine, as torchrun would."""

import os
import subprocess
import sys
from pathlib import Path

import vitascope

ROOT = Path(__file__).parents[2]


def run_on_processes(script: Path, num_processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the processes said, each on one thread."""
    paths = [str(ROOT), str(Path(vitascope.__file__).parents[1])]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_processes}"]
    return subprocess.run(
        [sys.executable, *torchrun, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
    )
