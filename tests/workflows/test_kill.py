"""A process killed in the middle of the interpolation loses nothing that was finished before it."""

import os
import signal
import subprocess
import sys
import time

PROGRAM = """
import sys
from pathlib import Path
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.generators.colour_bars import ColourBars
from vitascope.steps.interpolate import Interpolate
from vitascope.steps.reverse import Reverse
from vitascope.task import TextToVideo
from vitascope.workflows import Chain, ClipStore

folder = Path(sys.argv[1])

def say(word):
    with (folder / "log").open("a") as log:
        log.write(word + "\\n")

class Bars(ColourBars):
    def generate(self, *lent):
        say("generate")
        return super().generate(*lent)

class Back(Reverse):
    def apply(self, *lent):
        say("reverse")
        return super().apply(*lent)

def listen(progress):
    if progress.stage == "interpolate" and progress.step in (1, 40):
        say(f"frame {progress.step} of {progress.total}")

chain = Chain(generator=Bars(), after=(Back(and_forth=True), Interpolate(factor=32, method="dis")))
store = ClipStore(folder / "clips")
clip = chain.run(TextToVideo(prompt="a star"), Engine(Placement(device="cpu")), Context(on_progress=listen), store)
say(f"{clip.num_frames} frames")
"""


def test_the_rerun_starts_at_the_interpolation_that_was_killed(tmp_path):
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (log.exists() and "frame 40" in log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert log.read_text().splitlines() == ["generate", "reverse", "frame 1 of 993", "frame 40 of 993"]
    log.unlink()
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True)
    assert log.read_text().splitlines() == ["frame 1 of 993", "frame 40 of 993", "993 frames"]
