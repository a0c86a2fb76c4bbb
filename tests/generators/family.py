"""What a tiny model of a family on diffusers is to its tests: how it is made, and a task that it can do."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.generators import GENERATORS, Generator
from vitascope.poses import PoseSequence
from vitascope.task import ImageToVideo, MotionToVideo, Task, TrajectoryToVideo, VideoToVideo
from vitascope.tracks import Trajectories

# A person upright in the middle, in OpenPose's order.
_STANDING = (
    (0.50, 0.20), (0.50, 0.30), (0.42, 0.30), (0.38, 0.42), (0.36, 0.52), (0.58, 0.30), (0.62, 0.42), (0.64, 0.52),
    (0.45, 0.55), (0.44, 0.70), (0.44, 0.85), (0.55, 0.55), (0.56, 0.70), (0.56, 0.85), (0.48, 0.18), (0.52, 0.18),
    (0.46, 0.19), (0.54, 0.19),
)  # fmt: skip

STEPS = 2
ENGINE = Engine(
    Placement(device="cpu", dtype="float32"), capacity=32
)  # all of them: they are tiny, loads are not


@cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="vitascope-tiny-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


@cache
def built(build: Callable[[Path], Path]) -> Path:
    """The folder that `build` saves a tiny model or part in, made at the first call."""
    return build(_root() / build.__name__)


@dataclass(frozen=True)
class Family:
    """A generator, how its tiny model is made, and a task that the tiny model can do."""

    name: str
    build: Callable[[Path], Path]
    kind: type[Task]
    size: tuple[int, int]
    num_frames: int
    knobs: dict[str, Any] = field(default_factory=dict, hash=False)
    reads_prompt: bool = True
    with_picture: bool = False  # where the kind of task leaves that open
    parts: dict[str, Callable[[Path], Path]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.build.__name__.removeprefix('save_')}-{self.kind.kind}"

    @property
    def takes_loras(self) -> bool:
        return GENERATORS[self.name].takes_loras

    def generator(self, **knobs: Any) -> Generator:
        """The generator of the tiny model."""
        given = {"model": str(built(self.build)), "num_inference_steps": STEPS, **self.knobs}
        given |= {knob: str(built(build)) for knob, build in self.parts.items()} | knobs
        return GENERATORS[self.name].with_knobs(**given)

    def task(self, seed: int = 0, prompt: str = "a red ball", scene: int = 0, **said: Any) -> Task:
        """A task that the tiny model can do; `scene` chooses the picture or clip that it starts from."""
        width, height = self.size
        said = {"seed": seed, "width": width, "height": height, "num_frames": self.num_frames, **said}
        if self.reads_prompt:
            said["prompt"] = prompt
        if self.kind is TrajectoryToVideo:
            said["trajectories"] = drawn_path(scene)
        if self.kind in (ImageToVideo, MotionToVideo) or self.with_picture:
            said["image"] = picture(scene, width, height)
        if self.kind is MotionToVideo:
            said = {"poses": walk(self.num_frames), **said}
        if self.kind is VideoToVideo:
            said = {"video": footage(scene, self.num_frames, width, height), "strength": 1.0, **said}
        return self.kind.of(**said)

    def make(self, *tasks: Task, context: Context | None = None, **knobs: Any) -> list[Clip]:
        """Clips of the tasks, as one batch."""
        generator = self.generator(**knobs)
        completed = [generator.complete(task) for task in tasks or (self.task(),)]
        return generator.generate(completed, ENGINE.modules(generator), context or Context())

    def frames(self, **changes: Any) -> np.ndarray:
        """The frames of a clip of one task."""
        (clip,) = self.make(self.task(**changes))
        return clip.array()


@cache
def plain_frames(family: Family) -> np.ndarray:
    """The frames of the family's own task, made once a process; do not change them."""
    return family.frames()


def picture(seed: int, width: int, height: int) -> Image:
    """A picture of coloured noise."""
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def drawn_path(seed: int) -> Trajectories:
    """One path over the picture."""
    return Trajectories.stated(np.random.default_rng(seed).uniform(0, 1, (3, 2)).tolist())


def footage(seed: int, num_frames: int, width: int, height: int) -> Clip:
    """A clip of coloured noise."""
    rng = np.random.default_rng(seed)
    return Clip(rng.integers(0, 256, (num_frames, height, width, 3), np.uint8), Fraction(8))


def walk(num_frames: int, fps: float = 15, sway: float = 0.05, score: float = 0.9) -> PoseSequence:
    """A person who sways from side to side."""
    shifts = sway * np.sin(np.arange(num_frames))
    frames = tuple((tuple((x + shift, y, score) for x, y in _STANDING),) for shift in shifts)
    return PoseSequence(fps=fps, frames=frames, width=64, height=64)
