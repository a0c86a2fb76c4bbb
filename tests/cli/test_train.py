"""`vitascope train`, `dataset` and `lora`, as typed."""

from fractions import Fraction

import numpy as np
import pytest

from tests.generators import tiny_cogvideox
from vitascope.clip import Clip


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    tiny_cogvideox.save(folder / "model")
    (folder / "clips").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        frames = rng.integers(0, 255, (9, 32, 32, 3), dtype=np.uint8)
        Clip(frames, Fraction(8)).save(folder / f"clips/{i}.mp4")
    (folder / "clips/captions.csv").write_text("file,caption\n0.mp4,a red ball\n1.mp4,a fish\n")
    (folder / "recipe.yaml").write_text(
        f"name: look\nmodel: {folder / 'model'}\ndata: clips\nsteps: 2\nadapter: {{rank: 2}}\n"
        "saving: {trackers: [tensorboard]}\nplacement: {device: cpu}\n"
        "validation: {prompts: [a red ball], num_inference_steps: 1, every: 1}\n"
    )
    return folder


def test_from_recipe_to_lora_and_on(vitascope, room, tmp_path):
    asked = room / "recipe.yaml"
    done = vitascope("train", asked, "-o", "run", "--json", "--set", "adapter.alpha=8")
    assert done.code == 0, done.err
    assert "s a step" in done.err, "the estimate comes first"
    told = done.json()
    assert (told["steps"], told["num_clips"], len(told["samples"])) == (2, 2, 1)
    samples = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert samples == ["step-000001-1.mp4", "step-000002-1.mp4"]
    assert list((tmp_path / "run/tensorboard").iterdir())
    info = vitascope("lora", "info", told["lora"], "--model", room / "model", "--json").json()
    assert (info["ranks"], info["alphas"], info["matched_layers"], info["unmatched_keys"]) == (
        [2],
        [8.0],
        8,
        [],
    )
    made = vitascope(
        "generate", "a ball", "-m", room / "model", "--lora", told["lora"], "--steps", 1, "-q", "-o", "a.gif"
    )
    assert made.code == 0, made.err
    merged = vitascope("lora", "merge", told["lora"], "-m", room / "model", "-o", "merged")
    assert merged.code == 0, merged.err
    same = vitascope("generate", "a ball", "-m", tmp_path / "merged", "--steps", 1, "-q", "-o", "b.gif")
    assert same.code == 0, same.err
    converted = vitascope("lora", "convert", told["lora"], "-o", "c.safetensors", "--to", "comfyui")
    assert converted.code == 0, converted.err
    assert vitascope("lora", "info", "c.safetensors", "--json").json()["layout"] == "comfyui"


def test_asked_wrongly_is_one_line_and_exit_2(vitascope, room):
    asked = room / "recipe.yaml"
    for arguments, said in (
        (("train", asked, "--set", "adapter.rank=0"), "adapter.rank='0'"),
        (("train", "none.yaml"), "no training recipe file"),
        (("dataset", "check", "none"), "no folder"),
        (("lora", "info", asked), "not a LoRA file"),
        (
            (
                "lora",
                "convert",
                room / "model/transformer/diffusion_pytorch_model.safetensors",
                "-o",
                "x.safetensors",
            ),
            "holds no LoRA",
        ),
    ):
        done = vitascope(*arguments)
        assert done.code == 2, done.err
        assert said in done.err
        assert done.err.strip().count("\n") == 0


def test_looking_before_training(vitascope, room):
    assert "2 clips" in vitascope("train", room / "recipe.yaml", "--check").out
    explained = vitascope("train", room / "recipe.yaml", "--explain").out
    assert "adapter.rank" in explained and "overfit" in explained
    report = vitascope(
        "dataset", "check", room / "clips", "-m", room / "model", "--sheet", "s.png", "--json"
    ).json()
    assert report["usable"] == 2
