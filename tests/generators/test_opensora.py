"""Open-Sora 1.2 through the Generator door, with random weights: sentence, picture or clip in, MP4 out."""

import json
import threading
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.opensora.tiny_opensora import tiny_pipeline
from vitascope.clip import Clip, Image
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, JobCancelled, NoNetwork, RequestError, UnsupportedTask
from vitascope.generators import GENERATORS, for_model
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

ENGINE = Engine(Placement(device="cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("open-sora")
    tiny_pipeline().save_pretrained(path)
    return path


def generator(folder, **knobs):
    return for_model(str(folder), **{"num_inference_steps": 2, **knobs})


def text(prompt="a red ball rolls", **fields):
    return TextToVideo(prompt=prompt, **{"width": 48, "height": 32, "num_frames": 17, **fields})


def make(generator, *tasks, context=None):
    tasks = [generator.complete(task) for task in tasks]
    return generator.generate(tasks, ENGINE.modules(generator), context or Context())


def same(clip, other) -> bool:
    return np.array_equal(clip.array(), other.array())


def test_a_folder_is_recognised_and_filled_with_the_authors_defaults(folder):
    found = for_model(str(folder))
    assert found.name == "opensora"
    task = found.complete(TextToVideo(prompt="a cat"))
    assert (task.width, task.height, task.num_frames, task.fps) == (424, 240, 51, 24)
    published = for_model("open-sora-1.2")
    assert published.complete(TextToVideo(prompt="a cat")) == task
    filled = published.filled_in(published.profile())
    assert (filled.num_inference_steps, filled.guidance_scale, filled.max_sequence_length) == (30, 7.0, 300)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_frames": 16}, "nearest: 17"),
        ({"width": 426}, "nearest: 424"),
        ({"num_frames": 900}, "nearest: 816"),
    ],
)
def test_what_the_vae_cannot_decode_is_refused_with_the_nearest(folder, fields, said):
    with pytest.raises(UnsupportedTask, match=said):
        generator(folder).complete(text(**fields))


def test_sentence_to_mp4(folder, tmp_path):
    maker = generator(folder)
    (clip,) = make(maker, text(fps=Fraction(12)))
    assert clip.frames.shape == (17, 32, 48, 3)
    assert clip.fps == 12
    stage = clip.recipe.stages[0]
    assert stage.name == "opensora"
    assert stage.knobs["guidance_scale"] == 7.0
    assert stage.notes["num_denoiser_calls"] == 2
    assert clip.save(tmp_path / "ball.mp4").stat().st_size > 0


def test_seed_prompt_and_negative_prompt_decide_the_clip(folder):
    maker = generator(folder)
    (clip,) = make(maker, text())
    assert same(clip, *make(maker, text()))
    for other in (text(seed=1), text("a blue cat runs"), text(negative_prompt="a blue cat")):
        assert not same(clip, *make(maker, other)), other


def test_a_batch_gives_what_each_task_gives_alone(folder):
    maker = generator(folder)
    tasks = [text(), text("a blue cat", seed=3, negative_prompt="ball", fps=Fraction(8))]
    for together, task in zip(make(maker, *tasks), tasks, strict=True):
        (alone,) = make(maker, task)
        assert np.abs(together.array().astype(int) - alone.array()).max() <= 1
        assert together.fps == alone.fps


def test_a_picture_leads_the_clip(folder):
    maker = generator(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    fields = {"prompt": "a ball", "width": 48, "height": 32, "num_frames": 17}
    (led,) = make(maker, ImageToVideo(image=Image(pixels), **fields))
    (other,) = make(maker, ImageToVideo(image=Image(255 - pixels), **fields))
    assert led.frames.shape == (17, 32, 48, 3)
    assert not same(led, other)


def test_clips_are_made_over_as_far_as_strength_says(folder):
    maker = generator(folder, num_inference_steps=4)
    rng = np.random.default_rng(0)
    given = [Clip(rng.integers(0, 256, (17, 32, 48, 3), np.uint8), Fraction(10)) for _ in range(2)]

    def task(video, strength):
        return VideoToVideo(prompt="a ball", video=video, strength=strength, width=48, height=32)

    little, much = (make(maker, task(given[0], strength))[0] for strength in (0.3, 0.9))
    assert little.fps == 10
    assert not same(little, much)
    together = make(maker, *(task(video, 0.3) for video in given))
    assert np.abs(together[0].array().astype(int) - little.array()).max() <= 1
    assert not same(*together)


def test_progress_is_told_and_a_cancelled_run_stops(folder):
    maker = generator(folder, num_inference_steps=4)
    seen = []
    cancel = threading.Event()

    def stop_after_two(progress):
        seen.append((progress.stage, progress.step, progress.total))
        if progress.step == 2:
            cancel.set()

    with pytest.raises(JobCancelled):
        make(maker, text(), context=Context(on_progress=stop_after_two, cancel=cancel))
    assert seen == [("denoise", 1, 4), ("denoise", 2, 4)]


@pytest.mark.parametrize("kind", ["text", "clip"])
def test_an_interrupted_run_goes_on_bit_by_bit(folder, tmp_path, kind):
    maker = generator(folder, num_inference_steps=5)
    video = Clip(np.random.default_rng(0).integers(0, 256, (17, 32, 48, 3), np.uint8), Fraction(8))
    clip_task = VideoToVideo(prompt="a ball", video=video, strength=0.7, width=48, height=32)
    task = text() if kind == "text" else clip_task
    (whole,) = make(maker, task)
    store = FolderCheckpoints(tmp_path)
    cancel = threading.Event()

    def stop(progress):
        if progress.step == 3:
            cancel.set()

    kept = {"checkpoints": store, "checkpoint_every": 1}
    with pytest.raises(JobCancelled):
        make(maker, task, context=Context(on_progress=stop, cancel=cancel, **kept))
    (resumed,) = make(maker, task, context=Context(**kept))
    assert same(whole, resumed)


def test_a_lora_changes_the_clip_and_is_gone_after(folder, tmp_path):
    torch.manual_seed(1)
    layer = "transformer_blocks.0.attn1.to_q"
    save_file(
        {
            f"transformer.{layer}.lora_A.weight": torch.randn(2, 32),
            f"transformer.{layer}.lora_B.weight": torch.randn(32, 2),
        },
        tmp_path / "style.safetensors",
    )
    (plain,) = make(generator(folder), text())
    (styled,) = make(generator(folder, loras=(f"{tmp_path / 'style.safetensors'}:1.0",)), text())
    assert not same(plain, styled)
    assert same(plain, *make(generator(folder), text()))


def test_a_long_prompt_is_cut_with_a_word(folder):
    context = Context()
    make(generator(folder), text("a red ball rolls on grass " * 5), context=context)
    assert "left out" in " ".join(context.warnings)


def test_published_files_are_recognised(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "STDiT3"}))
    assert GENERATORS["opensora"].recognises(tmp_path)
    names = ["spatial_blocks.0.attn.qkv.weight", "fps_embedder.mlp.0.weight"]
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "stdit3.safetensors")
    assert for_model(str(tmp_path / "stdit3.safetensors")).name == "opensora"
    save_file({"unet.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert not GENERATORS["opensora"].recognises(tmp_path / "other.safetensors")


def test_weights_of_another_family_are_refused(tmp_path):
    save_file(
        {"double_blocks.0.a": torch.zeros(1), "single_blocks.0.a": torch.zeros(1)}, tmp_path / "x.safetensors"
    )
    maker = GENERATORS["opensora"].with_knobs(model=str(tmp_path / "x.safetensors"))
    with pytest.raises(InvalidMedia, match="HunyuanVideo"):
        ENGINE.modules(maker)


def test_without_network_the_published_model_says_so():
    with pytest.raises(NoNetwork):
        ENGINE.modules(for_model("open-sora-1.2"))


def test_a_revision_of_the_published_model_is_refused():
    with pytest.raises(RequestError, match="several repositories"):
        for_model("open-sora-1.2", revision="main").complete(text())
