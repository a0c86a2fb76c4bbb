"""What every family on diffusers does alike, each shown end to end on a tiny random model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.generators.families import FAMILIES
from tests.generators.family import ENGINE, STEPS, Family, drawn_path, footage, picture, plain_frames, walk
from vitascope.context import Context, FolderCheckpoints, Progress
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, UnsupportedTask
from vitascope.generators import GENERATORS, for_model
from vitascope.task import ImageToVideo, MotionToVideo, Task, TextToVideo, TrajectoryToVideo, VideoToVideo


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_one_model_end_to_end(family: Family) -> None:
    seen: list[Progress] = []
    context = Context(on_progress=seen.append)
    (clip,) = family.make(context=context)
    first = clip.array()
    assert first.shape == (family.num_frames, family.size[1], family.size[0], 3)
    assert all(frame.std() > 1 for frame in first), "a frame is blank"

    steps = [(said.step, said.total) for said in seen if said.stage == "denoise"]
    assert steps == [(step, STEPS) for step in range(1, STEPS + 1)]
    assert clip.recipe.stages[-1].name == family.name
    assert clip.recipe.stages[-1].task["seed"] == 0
    assert clip.recipe.stages[-1].knobs["num_inference_steps"] == STEPS

    assert np.array_equal(plain_frames(family), first), "the same seed makes another clip"
    assert not np.array_equal(family.frames(seed=1), first), "another seed makes the same clip"
    if family.reads_prompt:
        assert not np.array_equal(family.frames(prompt="a blue car"), first), "the prompt is not read"
    if family.kind in (ImageToVideo, TrajectoryToVideo):
        assert not np.array_equal(family.frames(scene=1), first), "the picture or the path is not read"

    stop = threading.Event()
    heard: list[Progress] = []

    def cancel_at_once(progress: Progress) -> None:
        heard.append(progress)
        stop.set()

    with pytest.raises(JobCancelled):
        family.make(context=Context(on_progress=cancel_at_once, cancel=stop))
    assert len(heard) == 1, "it went on after it was cancelled"


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_batch_gives_a_clip_for_each_task(family: Family) -> None:
    tasks = family.task(seed=0), family.task(seed=1, prompt="a blue car", scene=1)
    clips = family.make(*tasks)
    alone = plain_frames(family), family.make(tasks[1])[0].array()
    for clip, frames in zip(clips, alone, strict=True):
        assert np.abs(clip.array() - frames.astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["hunyuan", "ltx", "mochi", "tora", "wan"])
def test_parts_that_take_turns_make_the_same_clip(name: str) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    generator = family.generator()
    placed = Placement(device="cpu", dtype="float32", prompt_cache=False)
    modules = Engine(placed).modules(generator)
    modules.pipeline.enable_model_cpu_offload(device="cpu")  # what offload="model" comes to on a GPU
    (clip,) = generator.generate([generator.complete(family.task())], modules, Context())
    assert np.abs(clip.array() - plain_frames(family).astype(int)).max() <= 1


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_folder_finds_its_family(family: Family) -> None:
    folder = family.generator().model
    assert for_model(folder).name == family.name


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_lengths_between_those_of_the_vae_are_refused_with_the_nearest(family: Family) -> None:
    generator = family.generator()
    profile = generator.profile()
    if profile.frame_step == 1:
        return
    nearest = family.num_frames + (0 if profile.only_native_length else profile.frame_step)
    wrong = family.task().model_copy(update={"num_frames": nearest - 1})
    if isinstance(wrong, VideoToVideo):
        wrong = wrong.model_copy(update={"video": footage(0, nearest, *family.size)})
    with pytest.raises(UnsupportedTask, match=rf"num_frames={wrong.num_frames}: .*nearest: {nearest}"):
        generator.complete(wrong)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_sizes_off_the_grid_are_refused(family: Family) -> None:
    wrong = family.task().model_copy(update={"width": family.size[0] + 4})
    with pytest.raises(UnsupportedTask, match=rf"width={family.size[0] + 4}: .*nearest: {family.size[0]}"):
        family.generator().complete(wrong)


@pytest.mark.parametrize("name", sorted({family.name for family in FAMILIES}))
def test_known_models_complete_a_bare_task(name: str) -> None:
    """The defaults of every published model are within its own limits."""
    for known in GENERATORS[name].models:
        generator = GENERATORS[name].with_knobs(model=known.name)
        for kind in known.tasks:
            task = bare_task(kind, generator.profile().num_frames, ImageToVideo.kind in known.tasks)
            completed = generator.complete(task)
            assert all((completed.width, completed.height, completed.num_frames, completed.fps))
            assert generator.complete(completed) == completed


def bare_task(kind: str, num_frames: int, with_picture: bool) -> Task:
    if kind == TextToVideo.kind:
        return TextToVideo.of(prompt="a red ball")
    if kind == ImageToVideo.kind:
        return ImageToVideo.of(image=picture(0, 64, 64))
    if kind == TrajectoryToVideo.kind:
        start = picture(0, 64, 64) if with_picture else None
        return TrajectoryToVideo.of(trajectories=drawn_path(0), image=start)
    if kind == MotionToVideo.kind:
        return MotionToVideo.of(image=picture(0, 64, 64), poses=walk(4))
    return VideoToVideo.of(prompt="a red ball", video=footage(0, num_frames, 64, 64))


def lora_file(family: Family, path: Path, scale: float = 1.0) -> Path:
    """A LoRA of rank 2 for the first attention layer of the family's denoiser."""
    generator = family.generator()
    denoiser = getattr(ENGINE.modules(generator).pipeline, generator.denoiser)
    name, layer = next((n, m) for n, m in denoiser.named_modules() if n.endswith(".to_q"))
    draw = torch.Generator().manual_seed(0)
    down = scale * torch.randn(2, layer.in_features, generator=draw)
    up = scale * torch.randn(layer.out_features, 2, generator=draw)
    save_file({f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}, path)
    return path


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.takes_loras], ids=str)
def test_a_lora_belongs_to_its_request(family: Family, tmp_path: Path) -> None:
    file = lora_file(family, tmp_path / "style.safetensors")
    plain = plain_frames(family)
    (clip,) = family.make(family.task(), loras=(str(file),))
    assert not np.array_equal(clip.array(), plain)
    assert clip.recipe.stages[-1].notes["loras"][0]["num_layers"] == 1
    assert np.array_equal(family.frames(), plain), "the LoRA stayed on"


@pytest.mark.parametrize("family", [f for f in FAMILIES if not f.takes_loras], ids=str)
def test_a_family_that_takes_no_lora_says_so(family: Family) -> None:
    with pytest.raises(UnsupportedTask, match="takes no LoRA"):
        family.generator(loras=("style.safetensors",)).complete(family.task())


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_an_interrupted_clip_goes_on_where_it_was(family: Family, tmp_path: Path) -> None:
    stop = threading.Event()

    def cancel_after_two_steps(progress: Progress) -> None:
        if progress.step == 2:
            stop.set()

    knobs = {"num_inference_steps": 3}
    (whole,) = family.make(**knobs)
    kept = FolderCheckpoints(tmp_path)
    with pytest.raises(JobCancelled):
        family.make(
            context=Context(
                on_progress=cancel_after_two_steps, cancel=stop, checkpoints=kept, checkpoint_every=1
            ),
            **knobs,
        )
    assert list(tmp_path.iterdir()), "nothing was kept"
    (resumed,) = family.make(context=Context(checkpoints=kept, checkpoint_every=1), **knobs)
    assert np.array_equal(resumed.array(), whole.array())
    assert not list(tmp_path.iterdir()), "the state of a finished run was kept"
