"""Worker processes that a test starts, kills, freezes and starts again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vitascope.settings import Settings

SOURCE = Path(__file__).parents[2] / "src"


def wait_for(happened, timeout_s, every_s=0.05):
    """Wait until `happened()` is true, and give what it said."""
    deadline = time.monotonic() + timeout_s
    while not (said := happened()):
        assert time.monotonic() < deadline, f"nothing in {timeout_s} s"
        time.sleep(every_s)
    return said


class Crew:
    """Workers by slot. `roots`: for each slot the folder of its machine, where several machines are played.

    `path`: a folder that goes before all others on their Python path.
    """

    def __init__(self, house, slots, *, roots=None, environment=None, path="", words=(), device="cpu"):
        self.house, self.roots, self.path = house, roots or {}, str(path)
        self.environment, self.words = environment or {}, ("--device", device, *words)
        self.processes = {slot: self.start(slot) for slot in slots}

    def start(self, slot):
        root = self.roots.get(slot, self.house.root)
        command = [sys.executable, "-m", "vitascope.jobs.worker", "--house", str(root), "--slot", slot]
        environment = {
            **os.environ,
            **Settings.service_environment(self.house.database, self.house.store),
            "PYTHONPATH": os.pathsep.join([self.path, str(SOURCE), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        return subprocess.Popen([*command, *self.words], env=environment)

    def strike(self, slot, blow=signal.SIGKILL):
        """Send a signal; a killed worker is waited for."""
        self.processes[slot].send_signal(blow)
        if blow == signal.SIGKILL:
            self.processes[slot].wait()

    def again(self, slot):
        """Fill a slot whose process has ended."""
        self.processes[slot] = self.start(slot)

    def end(self):
        """Kill all."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
