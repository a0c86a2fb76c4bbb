"""Tora: what it adds to CogVideoX, the forms in which its weights come, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline
from safetensors.torch import load_file, save_file

from tests.generators import tiny_cogvideox, tiny_tora
from tests.generators.family import ENGINE, Family, built, picture, plain_frames
from tests.models.tora.sat_names import as_published
from vitascope.context import Context
from vitascope.engine import hub
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, RequestError, UnsupportedTask
from vitascope.generators import GENERATORS, for_model
from vitascope.task import ImageToVideo, Task, TextToVideo, TrajectoryToVideo
from vitascope.tracks import Trajectories

TEXT, IMAGE = tiny_tora.FAMILIES
SAID: dict[str, Any] = {"prompt": "a red ball", "width": 32, "height": 32, "num_frames": 9}
ACROSS = ((0.1, 0.5), (0.9, 0.5))


def made(task: Task, model: str | Path, engine: Engine = ENGINE, **knobs: Any) -> np.ndarray:
    generator = for_model(str(model), num_inference_steps=2, **knobs)
    (clip,) = generator.generate([generator.complete(task)], engine.modules(generator), Context())
    return clip.array()


def along(*paths: Any, **said: Any) -> TrajectoryToVideo:
    return TrajectoryToVideo.of(trajectories=Trajectories(paths=paths), **{**SAID, **said})


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "transformer").glob("*.safetensors")
    return load_file(file)


def test_every_path_counts_and_a_still_one_is_not_none() -> None:
    model = built(TEXT.build)
    still, one = made(along(((0.5, 0.5), (0.5, 0.5))), model), made(along(ACROSS), model)
    two = made(along(ACROSS, ((0.5, 0.9), (0.5, 0.1))), model)
    plain = made(TextToVideo.of(**SAID), model)
    clips = [still, one, two, plain, made(along(ACROSS[::-1]), model)]
    for index, clip in enumerate(clips):
        assert all(not np.array_equal(clip, other) for other in clips[:index]), index


def test_without_paths_it_is_cogvideox(tmp_path: Path) -> None:
    tora = built(TEXT.build)
    plain = tiny_cogvideox.save(tmp_path / "plain", "5b")
    for part in ("vae", "text_encoder"):
        shutil.copytree(tora / part, plain / part, dirs_exist_ok=True)
    kept = {
        name: tensor
        for name, tensor in weights_of(tora).items()
        if not name.startswith(("fuser", "traj_extractor"))
    }
    save_file(kept, next((plain / "transformer").glob("*.safetensors")), metadata={"format": "pt"})
    task = TextToVideo.of(**SAID)
    expected = made(task, plain, scheduler="dpm", use_dynamic_cfg=True)
    assert np.array_equal(made(task, tora), expected)


def test_a_folder_saved_by_upstreams_classes_loads(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(built(TEXT.build), theirs)
    index = json.loads((theirs / "model_index.json").read_text())
    index["transformer"] = ["tora.transformer_3d", "ToraTransformer3DModel"]
    (theirs / "model_index.json").write_text(json.dumps(index))
    assert np.array_equal(made(TEXT.task(), theirs), plain_frames(TEXT))


@pytest.mark.parametrize(
    ("family", "variant", "file"),
    [(TEXT, "5b", "net.safetensors"), (TEXT, "5b", "net.pt"), (IMAGE, "5b-i2v", "net.pt")],
    ids=str,
)
def test_a_checkpoint_with_the_parts_of_a_cogvideox(
    family: Family, variant: str, file: str, tmp_path: Path
) -> None:
    """A denoiser alone, in diffusers' names or as the authors publish it, makes the clip of the whole folder."""
    folder = built(family.build)
    base = tiny_cogvideox.save(tmp_path / "base", variant)
    for part in ("vae", "text_encoder"):
        shutil.copytree(folder / part, base / part, dirs_exist_ok=True)
    tensors = weights_of(folder)
    if file.endswith(".pt"):
        torch.save({"module": as_published(tensors)}, tmp_path / file)
    else:
        save_file(tensors, tmp_path / file)
    assert for_model(str(tmp_path / file), base=str(base)).name == "tora"
    clip = made(family.task(), tmp_path / file, base=str(base))
    assert np.array_equal(clip, plain_frames(family))


def test_a_cogvideox_is_not_taken_for_it(tmp_path: Path) -> None:
    plain = tiny_cogvideox.save(tmp_path / "plain", "5b")
    generator = for_model("tora", weights=str(plain))
    with pytest.raises(InvalidMedia, match=r"lacks \d+ of the \d+ tensors of a ToraTransformer3DModel"):
        generator.load(Placement(device="cpu", dtype="float32"))
    torch.save({"module": {"model.diffusion_model.x": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(InvalidMedia, match="no keys that a generator knows"):
        for_model(str(tmp_path / "other.pt"))


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        ("tora", along(((0.5, 0.5),)), "path 1 has 1 point"),
        ("tora", along(ACROSS, ((1.5, 0.5), (1.9, 0.5))), r"path 2 starts at \(1.5, 0.5\)"),
        ("tora", along(((0.5, 0.5), (120, 194))), r"the point \(120, 194\), farther outside"),
        ("tora", along(ACROSS, image=picture(0, 32, 32)), "starts from text alone"),
        ("tora-i2v", along(ACROSS), "give it an image"),
        ("tora", ImageToVideo.of(image=picture(0, 32, 32)), "tora makes text-to-video, trajectory-to-video"),
        ("tora-i2v", TextToVideo.of(prompt="x"), "tora-i2v makes image-to-video, trajectory-to-video"),
        ("cogvideox-5b", along(ACROSS), "not trajectory-to-video"),
    ],
)
def test_what_cannot_be_followed_is_refused(model: str, task: Task, words: str) -> None:
    with pytest.raises(UnsupportedTask, match=words):
        for_model(model).complete(task)


@pytest.mark.parametrize(
    "switch",
    [{"attention": "sdpa"}, {"compile": True}, {"cache": "first-block"}, {"guidance_interval": (0, 0.8)}],
    ids=str,
)
def test_levers_that_its_blocks_do_not_have_are_refused(switch: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="has no effect on ToraTransformer3DModel"):
        TEXT.generator().load(Placement(device="cpu", dtype="float32", **switch))


def test_a_thing_may_leave_the_picture_and_more_points_than_frames_are_said() -> None:
    context = Context()
    leaving = ((0.5, 0.5), (1.2, 0.5), (1.5, 0.5))
    many = tuple((number / 20, 0.5) for number in range(20))
    task = TEXT.generator().complete(along(leaving, many))
    (clip,) = TEXT.make(task, context=context)
    assert clip.num_frames == 9
    assert any("outside the picture" in line for line in context.warnings)
    assert any("20 points and the clip 9 frames" in line for line in context.warnings)


def test_the_checkpoint_for_pictures_is_fetched_with_what_goes_around_it() -> None:
    model, around = GENERATORS["tora"].with_knobs(model="tora-i2v").parts()
    assert (model.repo.rpartition("/")[2], model.patterns) == (
        "Tora",
        ("tora/i2v/mp_rank_00_model_states.pt",),
    )
    assert around.repo == "zai-org/CogVideoX-5b-I2V"
    assert not any("transformer/*" in pattern for pattern in around.patterns)


def test_the_published_checkpoint_for_pictures_loads_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(IMAGE.build)
    around = tiny_cogvideox.save(tmp_path / "around", "5b-i2v")
    for part in ("vae", "text_encoder"):
        shutil.copytree(folder / part, around / part, dirs_exist_ok=True)
    for file in (around / "transformer").glob("*.safetensors"):  # not fetched
        file.unlink()
    file = tmp_path / "tora" / "i2v" / "mp_rank_00_model_states.pt"
    file.parent.mkdir(parents=True)
    torch.save({"module": as_published(weights_of(folder))}, file)
    monkeypatch.setattr(hub, "fetch_files", lambda *_, **__: tmp_path)
    for name in ("fetch_configs", "fetch_weights"):
        monkeypatch.setattr(hub, name, lambda *_, **__: around)
    generator = GENERATORS["tora"].with_knobs(model="tora-i2v", num_inference_steps=2, max_sequence_length=12)
    modules = generator.load(Placement(device="cpu", dtype="float32"))
    task = IMAGE.generator().complete(IMAGE.task())  # of the tiny model's size
    (clip,) = generator.generate([task], modules, Context())
    assert np.array_equal(clip.array(), plain_frames(IMAGE))


def test_steps_are_counted_from_the_end_as_upstream_sets_them(tmp_path: Path) -> None:
    folder = tmp_path / "leading"
    shutil.copytree(built(TEXT.build), folder)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "timestep_spacing": "leading"}))
    assert np.array_equal(made(TEXT.task(), folder), plain_frames(TEXT))
    unipc, own = (made(TEXT.task(), folder, scheduler=name) for name in ("unipc", "ddim"))
    assert not np.array_equal(unipc, own)


def test_its_pipelines_are_diffusers_own() -> None:
    modules = ENGINE.modules(TEXT.generator())
    assert isinstance(modules.pipeline, CogVideoXPipeline)
