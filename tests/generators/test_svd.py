"""Stable Video Diffusion's own knobs, and ExVideo laid over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diffusers import StableVideoDiffusionPipeline

from tests.generators import tiny_svd
from tests.generators.family import ENGINE, Family, built
from vitascope.context import Context
from vitascope.errors import InvalidMedia, NoNetwork, UnsupportedTask
from vitascope.generators.svd import StableVideoDiffusion
from vitascope.models.exvideo import ExVideoUNet
from vitascope.task import ImageToVideo

SVD = Family("svd", tiny_svd.save_svd, ImageToVideo, (64, 64), 4, reads_prompt=False)
LONG = Family("svd", tiny_svd.save_svd, ImageToVideo, (128, 128), 6, reads_prompt=False)
REACH = tiny_svd.REACH


@pytest.mark.parametrize(
    "knobs",
    [
        {"motion_bucket_id": 20},
        {"noise_aug_strength": 0.5},
        {"decode_chunk_size": 2},
        {"min_guidance_scale": 3.0},
        {"guidance_scale": 6.0},
        {"contrast": 1.2},
    ],
    ids=lambda knobs: next(iter(knobs)),
)
def test_each_knob_changes_the_clip(knobs: dict[str, float]) -> None:
    (clip,) = SVD.make(**knobs)
    assert not np.array_equal(clip.array(), SVD.frames())


def test_the_frame_rate_is_told_to_the_model() -> None:
    assert not np.array_equal(SVD.frames(fps=24), SVD.frames(fps=7))


def test_guidance_rises_over_the_clip_from_the_first_frame_on() -> None:
    """A first frame without guidance is the same whatever guidance the last one has."""
    weak, strong = (SVD.generator(min_guidance_scale=1.0, guidance_scale=g) for g in (2.0, 8.0))
    modules = ENGINE.modules(weak)
    scales = []
    for generator in (weak, strong):
        task = generator.complete(SVD.task())
        generator.generate([task], modules, Context())
        scales.append(modules.pipeline.guidance_scale.flatten().tolist())
    assert scales == [pytest.approx(np.linspace(1, top, 4)) for top in (2, 8)]


def test_a_prompt_is_not_read_and_the_user_is_told() -> None:
    context = Context()
    (clip,) = SVD.make(SVD.task().model_copy(update={"prompt": "a red ball"}), context=context)
    assert np.array_equal(clip.array(), SVD.frames())
    assert any("reads no prompt" in warning for warning in context.warnings)


def test_a_negative_prompt_is_refused() -> None:
    with pytest.raises(UnsupportedTask, match="reads no negative prompt"):
        SVD.generator().complete(SVD.task(negative_prompt="blurry"))


def test_beyond_its_own_length_svd_warns() -> None:
    context = Context()
    (clip,) = SVD.make(SVD.task(num_frames=6), context=context)
    assert clip.num_frames == 6
    assert any("made for 4 frames; 6 may jitter" in warning for warning in context.warnings)


def test_exvideo_makes_longer_clips() -> None:
    extension = str(built(tiny_svd.save_exvideo_extension))
    context = Context()
    task = LONG.task().model_copy(update={"num_frames": None})
    (clip,) = LONG.make(task, context=context, extension=extension)
    assert clip.num_frames == REACH
    assert not context.warnings
    assert clip.recipe.stages[-1].knobs["contrast"] == 1.2
    assert all(frame.std() > 1 for frame in clip.array())
    assert not np.array_equal(clip.array(), LONG.frames())


def test_exvideo_refuses_what_its_positions_do_not_reach() -> None:
    generator = LONG.generator(extension=str(built(tiny_svd.save_exvideo_extension)))
    with pytest.raises(UnsupportedTask, match=f"num_frames={REACH + 1}: .* nearest: {REACH}"):
        generator.complete(LONG.task(num_frames=REACH + 1))


def test_exvideo_at_less_than_128_pixels_is_refused() -> None:
    generator = LONG.generator(extension=str(built(tiny_svd.save_exvideo_extension)))
    with pytest.raises(UnsupportedTask, match=r"width=64: .*nearest: 128"):
        generator.complete(LONG.task(width=64, height=64))


def test_other_weights_are_no_extension(tmp_path: Path) -> None:
    unet = built(tiny_svd.save_svd) / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(InvalidMedia, match="no frame position table"):
        SVD.generator(extension=str(unet)).complete(SVD.task())
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(InvalidMedia, match="no safetensors file"):
        SVD.generator(extension=str(tmp_path / "notes.txt")).complete(SVD.task())


def test_a_pipeline_with_exvideo_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    """The trained whole, as a diffusers folder of its own."""
    pipeline = StableVideoDiffusionPipeline.from_pretrained(
        built(tiny_svd.save_svd), unet=tiny_svd.extended_unet()
    )
    pipeline.save_pretrained(tmp_path / "long")
    generator = StableVideoDiffusion(model=str(tmp_path / "long"), num_inference_steps=2)
    task = generator.complete(LONG.task().model_copy(update={"num_frames": None}))
    assert task.num_frames == REACH
    modules = ENGINE.modules(generator)
    assert isinstance(modules.pipeline.unet, ExVideoUNet)
    assert generator.generate([task], modules, Context())[0].num_frames == REACH


def test_the_published_models_keep_their_authors_guidance() -> None:
    for name, first, last, steps in (
        ("svd", 1.0, 2.5, 25),
        ("svd-xt", 1.5, 3.0, 30),
        ("exvideo", 2.0, 2.0, 50),
    ):
        generator = StableVideoDiffusion(model=name)
        filled = generator.filled_in(generator.profile())
        assert (filled.min_guidance_scale, filled.guidance_scale) == (first, last)
        assert filled.num_inference_steps == steps


def test_without_a_network_the_missing_model_is_named() -> None:
    with pytest.raises(NoNetwork, match="stabilityai/stable-video-diffusion-img2vid-xt"):
        ENGINE.modules(StableVideoDiffusion(model="svd-xt"))
