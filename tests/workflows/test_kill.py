"""A process killed in the middle of a step loses nothing that was finished before it."""

import os
import signal
import subprocess
import sys
import time

PROGRAM = """
import sys, time
from vitascope.steps import STEPS
from vitascope.steps.base import Step
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.generators.colour_bars import ColourBars
from vitascope.steps.reverse import Reverse
from vitascope.task import TextToVideo
from vitascope.workflows import Chain, ClipStore
from pathlib import Path

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

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

class Slow(Step):
    def apply(self, clip, note, modules, context):
        say("slow begins")
        time.sleep(seconds)
        say("slow ends")
        return clip.with_frames(clip.array(), recipe=clip.recipe.then(self.stage()))

chain = Chain(generator=Bars(), after=(Back(and_forth=True), Slow()))
clip = chain.run(TextToVideo(prompt="a star"), Engine(Placement(device="cpu")), Context(), ClipStore(folder / "clips"))
say(f"{clip.num_frames} frames")
"""


def test_the_rerun_starts_at_the_step_that_was_killed(tmp_path):
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), "60"])
    deadline = time.monotonic() + 60
    while not (log.exists() and "slow begins" in log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    log.unlink()
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), "0"], check=True)
    assert log.read_text().splitlines() == ["slow begins", "slow ends", "32 frames"]
