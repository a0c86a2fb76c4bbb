"""Open-Sora-Plan through the Generator door, with random weights: sentence or picture in, MP4 out."""

import json
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.opensora_plan.test_opensora_plan_loading import CAUSAL_VAE, CONFIGS, write
from tests.models.opensora_plan.tiny_opensora_plan import (
    tiny_pipeline,
    tiny_text_encoder,
    tiny_tokenizer,
    tiny_transformer,
    tiny_vae,
)
from tests.models.wf_vae.tiny_wf_vae import UPSTREAM_CONFIG as WF_VAE
from vitascope.clip import Image
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, JobCancelled, NoNetwork, UnsupportedTask
from vitascope.generators import GENERATORS, for_model
from vitascope.task import ImageToVideo, TextToVideo

ENGINE = Engine(Placement(device="cpu"), capacity=6)
KINDS = {"1.2": False, "1.3": False, "1.3-i2v": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    paths = {}
    for kind, inpainting in KINDS.items():
        paths[kind] = tmp_path_factory.mktemp(f"open-sora-plan-{kind}")
        tiny_pipeline(kind[:3], inpainting=inpainting).save_pretrained(paths[kind])
    return paths


def generator(folder, **knobs):
    return for_model(str(folder), **{"num_inference_steps": 2, **knobs})


def text(prompt="a red ball rolls", **fields):
    return TextToVideo(prompt=prompt, **{"width": 32, "height": 32, "num_frames": 5, **fields})


def make(generator, *tasks, context=None):
    tasks = [generator.complete(task) for task in tasks]
    return generator.generate(tasks, ENGINE.modules(generator), context or Context())


def same(clip, other) -> bool:
    return np.array_equal(clip.array(), other.array())


@pytest.mark.parametrize(
    ("model", "made"),
    [
        ("open-sora-plan-1.3", (640, 352, 93, 18)),
        ("LanguageBind/Open-Sora-Plan-v1.3.0", (640, 352, 93, 18)),
        ("open-sora-plan-1.2-29x480p", (640, 480, 29, 24)),
        ("LanguageBind/Open-Sora-Plan-v1.2.0", (640, 480, 29, 24)),
        ("open-sora-plan-1.2-93x720p", (1280, 720, 93, 24)),
    ],
)
def test_published_models_have_the_authors_defaults(model, made):
    maker = for_model(model)
    task = maker.complete(TextToVideo(prompt="a cat"))
    assert (task.width, task.height, task.num_frames, task.fps) == made
    filled = maker.filled_in(maker.profile())
    assert (filled.num_inference_steps, filled.guidance_scale, filled.max_sequence_length) == (100, 7.5, 512)


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        ("open-sora-plan-1.3", {"num_frames": 92}, "nearest: 93"),
        ("open-sora-plan-1.3", {"width": 650}, "nearest: 640"),
        ("open-sora-plan-1.3", {"width": 1024, "height": 576}, "832x480"),
        ("open-sora-plan-1.2-29x480p", {"num_frames": 93}, "nearest: 29"),
        ("open-sora-plan-1.2-29x480p", {"width": 1280}, "nearest: 640"),
    ],
)
def test_what_a_model_was_not_made_for_is_refused_with_the_nearest(model, fields, said):
    with pytest.raises(UnsupportedTask, match=said):
        for_model(model).complete(TextToVideo(prompt="a cat", **fields))


def test_a_model_makes_clips_of_its_own_kind_alone(folders):
    picture = Image(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UnsupportedTask, match="text-to-video, not image-to-video"):
        for_model(str(folders["1.3"])).complete(ImageToVideo(prompt="a", image=picture))
    with pytest.raises(UnsupportedTask, match="image-to-video, not text-to-video"):
        for_model("open-sora-plan-1.3-i2v").complete(TextToVideo(prompt="a"))


@pytest.mark.parametrize("kind", ["1.2", "1.3"])
def test_sentence_to_mp4(folders, kind, tmp_path):
    started = time.process_time()
    (clip,) = make(generator(folders[kind]), text(fps=Fraction(12)))
    assert clip.frames.shape == (5, 32, 32, 3)
    stage = clip.recipe.stages[0]
    assert stage.name == "opensora-plan"
    assert stage.knobs["guidance_scale"] == 7.5
    assert stage.notes["scheduler"] == "EulerAncestralDiscreteScheduler"
    assert stage.notes["num_denoiser_calls"] == 2
    assert clip.save(tmp_path / "ball.mp4").stat().st_size > 0
    assert time.process_time() - started < 20


def test_seed_prompt_negative_prompt_and_sampler_decide_the_clip(folders):
    maker = generator(folders["1.3"])
    (clip,) = make(maker, text())
    assert same(clip, *make(maker, text()))
    for other in (text(seed=1), text("a blue cat runs"), text(negative_prompt="a blue cat")):
        assert not same(clip, *make(maker, other)), other
    for scheduler in ("ddim", "dpm++"):
        assert not same(clip, *make(generator(folders["1.3"], scheduler=scheduler), text()))
    assert not same(clip, *make(generator(folders["1.3"], guidance_rescale=0.7), text()))


def test_a_batch_gives_what_each_task_gives_alone(folders):
    maker = generator(folders["1.3"])
    tasks = [text(), text("a blue cat", seed=3, negative_prompt="ball")]
    for together, task in zip(make(maker, *tasks), tasks, strict=True):
        (alone,) = make(maker, task)
        assert np.abs(together.array().astype(int) - alone.array()).max() <= 1


def test_a_picture_leads_the_clip(folders):
    maker = generator(folders["1.3-i2v"])
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    fields = {"prompt": "a ball", "width": 32, "height": 32, "num_frames": 5}
    (led,) = make(maker, ImageToVideo(image=Image(pixels), **fields))
    (other,) = make(maker, ImageToVideo(image=Image(255 - pixels), **fields))
    assert led.frames.shape == (5, 32, 32, 3)
    assert not same(led, other)


def test_progress_is_told_and_a_cancelled_run_goes_on_bit_by_bit(folders, tmp_path):
    maker = generator(folders["1.3"], num_inference_steps=4)
    (whole,) = make(maker, text())
    seen, cancel, store = [], threading.Event(), FolderCheckpoints(tmp_path)

    def stop_after_two(progress):
        seen.append((progress.stage, progress.step, progress.total))
        if progress.step == 2:
            cancel.set()

    kept = {"checkpoints": store, "checkpoint_every": 1}
    with pytest.raises(JobCancelled):
        make(maker, text(), context=Context(on_progress=stop_after_two, cancel=cancel, **kept))
    assert seen == [("denoise", 1, 4), ("denoise", 2, 4)]
    (resumed,) = make(maker, text(), context=Context(**kept))
    assert same(whole, resumed)


def test_a_lora_changes_the_clip_and_is_gone_after(folders, tmp_path):
    torch.manual_seed(1)
    layer = "transformer.transformer_blocks.0.attn1.to_q"
    file = tmp_path / "style.safetensors"
    save_file(
        {f"{layer}.lora_A.weight": torch.randn(2, 48), f"{layer}.lora_B.weight": torch.randn(48, 2)}, file
    )
    (plain,) = make(generator(folders["1.3"]), text())
    (styled,) = make(generator(folders["1.3"], loras=(f"{file}:1.0",)), text())
    assert not same(plain, styled)
    assert same(plain, *make(generator(folders["1.3"]), text()))


@pytest.mark.parametrize(("release", "vae_config"), [("1.2", CAUSAL_VAE), ("1.3", WF_VAE)])
def test_the_authors_own_folders_are_recognised_and_run(tmp_path, release, vae_config):
    torch.manual_seed(0)
    write(tmp_path / "any", CONFIGS[release], tiny_transformer(release).state_dict())
    write(tmp_path / "vae", vae_config, tiny_vae(release).state_dict(), "merged.ckpt")
    tiny_text_encoder().save_pretrained(tmp_path / "mt5")
    tiny_tokenizer().save_pretrained(tmp_path / "mt5")
    knobs = {"text_encoder": str(tmp_path / "mt5"), "guidance_scale": 1.0}
    (clip,) = make(generator(tmp_path / "any", **knobs), text())
    assert clip.frames.shape == (5, 32, 32, 3)
    (tmp_path / "vae").rename(tmp_path / "elsewhere")
    (again,) = make(generator(tmp_path / "any", vae=str(tmp_path / "elsewhere"), **knobs), text())
    assert same(clip, again)


def test_weights_of_another_family_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "LatteT2V"}))
    assert not GENERATORS["opensora-plan"].recognises(tmp_path)
    with pytest.raises(InvalidMedia):
        for_model(str(tmp_path))


def test_without_network_the_published_models_say_so():
    for model in ("open-sora-plan-1.3", "open-sora-plan-1.2-93x720p"):
        with pytest.raises(NoNetwork):
            ENGINE.modules(for_model(model))
