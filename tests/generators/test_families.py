"""What every family on diffusers does alike, each shown end to end on a tiny random model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vitascope.clip import Clip, Image
from vitascope.context import Context, Progress
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, UnsupportedTask
from vitascope.generators import GENERATORS, Generator, for_model
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

from tests.generators import (
    tiny_allegro,
    tiny_animatediff,
    tiny_hunyuan,
    tiny_ltx,
    tiny_mochi,
    tiny_svd,
    tiny_wan,
)

STEPS = 2


@dataclass(frozen=True)
class Family:
    """A generator, how its tiny model is made, and a task that the tiny model can do."""

    name: str
    build: Callable[[Path], Path]
    kind: type[Task]
    size: tuple[int, int]
    num_frames: int
    knobs: dict[str, Any] = field(default_factory=dict)
    reads_prompt: bool = True

    def __str__(self) -> str:
        return f"{self.name}-{self.kind.kind}"


FAMILIES = [
    Family("svd", tiny_svd.save_svd, ImageToVideo, (64, 64), 4, reads_prompt=False),
    Family("animatediff", tiny_animatediff.save_animatediff, TextToVideo, (64, 64), 4),
    Family("animatediff", tiny_animatediff.save_animatediff, VideoToVideo, (64, 64), 4),
    Family("mochi", tiny_mochi.save_mochi, TextToVideo, (32, 32), 7),
    Family("hunyuan", tiny_hunyuan.save_hunyuan, TextToVideo, (32, 32), 5),
    Family("hunyuan", tiny_hunyuan.save_hunyuan_image_to_video, ImageToVideo, (32, 32), 5),
    Family("wan", tiny_wan.save_wan, TextToVideo, (32, 32), 5),
    Family("wan", tiny_wan.save_wan, VideoToVideo, (32, 32), 5),
    Family("wan", tiny_wan.save_wan_two_experts, TextToVideo, (32, 32), 5),
    Family("wan", tiny_wan.save_wan_image_to_video, ImageToVideo, (32, 32), 5),
    Family("ltx", tiny_ltx.save_ltx, TextToVideo, (64, 64), 9),
    Family("ltx", tiny_ltx.save_ltx, ImageToVideo, (64, 64), 9),
    Family("allegro", tiny_allegro.save_allegro, TextToVideo, (128, 128), 24),
]


@pytest.fixture(scope="module", autouse=True)
def _built_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    request.module.FOLDERS = {}
    request.module.ENGINE = Engine(Placement(device="cpu", dtype="float32"), capacity=1)
    request.module.ROOT = tmp_path_factory.mktemp("models")


FOLDERS: dict[str, Path]
ENGINE: Engine
ROOT: Path


def generator_of(family: Family, **knobs: Any) -> Generator:
    name = family.build.__name__
    if name not in FOLDERS:
        FOLDERS[name] = family.build(ROOT / name)
    given = {"model": str(FOLDERS[name]), "num_inference_steps": STEPS, **family.knobs, **knobs}
    return GENERATORS[family.name].with_knobs(**given)


def picture(seed: int, width: int, height: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def task_of(family: Family, seed: int = 0, prompt: str = "a red ball", scene: int = 0) -> Task:
    width, height = family.size
    said: dict[str, Any] = {"seed": seed, "width": width, "height": height, "num_frames": family.num_frames}
    if family.reads_prompt:
        said["prompt"] = prompt
    if family.kind is ImageToVideo:
        said["image"] = picture(scene, width, height)
    if family.kind is VideoToVideo:
        rng = np.random.default_rng(scene)
        frames = rng.integers(0, 256, (family.num_frames, height, width, 3), np.uint8)
        said |= {"video": Clip(frames, Fraction(8)), "strength": 1.0}
    return family.kind.of(**said)


def make(family: Family, context: Context | None = None, *tasks: Task, **knobs: Any) -> list[Clip]:
    generator = generator_of(family, **knobs)
    asked = tasks or (task_of(family),)
    completed = [generator.complete(task) for task in asked]
    return generator.generate(completed, ENGINE.modules(generator), context or Context())


def clip_of(family: Family, **changes: Any) -> np.ndarray:
    (clip,) = make(family, None, task_of(family, **changes))
    return clip.array()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_one_model_end_to_end(family: Family) -> None:
    seen: list[Progress] = []
    context = Context(on_progress=seen.append)
    (clip,) = make(family, context)
    first = clip.array()
    assert first.shape == (family.num_frames, family.size[1], family.size[0], 3)
    assert all(frame.std() > 1 for frame in first), "a frame is blank"

    steps = [(said.step, said.total) for said in seen if said.stage == "denoise"]
    assert steps == [(step, STEPS) for step in range(1, STEPS + 1)]
    assert clip.recipe.stages[-1].name == family.name
    assert clip.recipe.stages[-1].task["seed"] == 0
    assert clip.recipe.stages[-1].knobs["num_inference_steps"] == STEPS

    assert np.array_equal(clip_of(family), first), "the same seed makes another clip"
    assert not np.array_equal(clip_of(family, seed=1), first), "another seed makes the same clip"
    if family.reads_prompt:
        assert not np.array_equal(clip_of(family, prompt="a blue car"), first), "the prompt is not read"
    if family.kind is ImageToVideo:
        assert not np.array_equal(clip_of(family, scene=1), first), "the picture is not read"

    stop = threading.Event()
    heard: list[Progress] = []

    def cancel_at_once(progress: Progress) -> None:
        heard.append(progress)
        stop.set()

    with pytest.raises(JobCancelled):
        make(family, Context(on_progress=cancel_at_once, cancel=stop))
    assert len(heard) == 1, "it went on after it was cancelled"


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_batch_gives_a_clip_for_each_task(family: Family) -> None:
    tasks = task_of(family, seed=0), task_of(family, seed=1, prompt="a blue car", scene=1)
    clips = make(family, None, *tasks)
    for clip, task in zip(clips, tasks, strict=True):
        alone = make(family, None, task)[0].array().astype(int)
        assert np.abs(clip.array() - alone).max() <= 1


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_folder_finds_its_family(family: Family) -> None:
    folder = generator_of(family).model
    assert for_model(folder).name == family.name


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_lengths_between_those_of_the_vae_are_refused_with_the_nearest(family: Family) -> None:
    generator = generator_of(family)
    profile = generator.profile()
    if profile.frame_step == 1:
        return
    wrong = task_of(family).model_copy(update={"num_frames": family.num_frames + profile.frame_step - 1})
    if isinstance(wrong, VideoToVideo):
        longer = np.zeros((wrong.num_frames, wrong.height, wrong.width, 3), np.uint8)
        wrong = wrong.model_copy(update={"video": Clip(longer, Fraction(8))})
    nearest = family.num_frames + profile.frame_step
    with pytest.raises(UnsupportedTask, match=rf"num_frames={wrong.num_frames}: .*nearest: {nearest}"):
        generator.complete(wrong)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_sizes_off_the_grid_are_refused(family: Family) -> None:
    wrong = task_of(family).model_copy(update={"width": family.size[0] + 4})
    with pytest.raises(UnsupportedTask, match=rf"width={family.size[0] + 4}: .*nearest: {family.size[0]}"):
        generator_of(family).complete(wrong)


@pytest.mark.parametrize("name", sorted({family.name for family in FAMILIES}))
def test_known_models_complete_a_bare_task(name: str) -> None:
    """The defaults of every published model are within its own limits."""
    for known in GENERATORS[name].models:
        generator = GENERATORS[name].with_knobs(model=known.name)
        for kind in known.tasks:
            task = bare_task(kind, generator.profile().num_frames)
            completed = generator.complete(task)
            assert all((completed.width, completed.height, completed.num_frames, completed.fps))
            assert generator.complete(completed) == completed


def bare_task(kind: str, num_frames: int) -> Task:
    if kind == TextToVideo.kind:
        return TextToVideo.of(prompt="a red ball")
    if kind == ImageToVideo.kind:
        return ImageToVideo.of(image=picture(0, 64, 64))
    frames = np.zeros((num_frames, 64, 64, 3), np.uint8)
    return VideoToVideo.of(prompt="a red ball", video=Clip(frames, Fraction(8)))
