"""What sets Mochi, HunyuanVideo, Wan, LTX-Video and Allegro apart."""

from __future__ import annotations

import numpy as np
import pytest

from tests.generators import (
    tiny_allegro,
    tiny_hunyuan,
    tiny_hunyuan15,
    tiny_ltx,
    tiny_mochi,
    tiny_sana,
    tiny_wan,
)
from tests.generators.family import ENGINE, Family, picture
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, UnsupportedTask
from vitascope.generators.allegro import Allegro
from vitascope.generators.hunyuan import HunyuanVideo
from vitascope.generators.wan import NEGATIVE_PROMPT, Wan
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

MOCHI = Family("mochi", tiny_mochi.save_mochi, TextToVideo, (32, 32), 7)
HUNYUAN = Family("hunyuan", tiny_hunyuan.save_hunyuan, TextToVideo, (32, 32), 5)
HUNYUAN_IMAGE = Family("hunyuan", tiny_hunyuan.save_hunyuan_image_to_video, ImageToVideo, (32, 32), 5)
HUNYUAN_REPLACE = Family("hunyuan", tiny_hunyuan.save_hunyuan_token_replace, ImageToVideo, (32, 32), 5)
HUNYUAN_15 = Family("hunyuan15", tiny_hunyuan15.save_hunyuan15, TextToVideo, (32, 32), 5)
WAN = Family("wan", tiny_wan.save_wan, TextToVideo, (32, 32), 5)
WAN_EXPERTS = Family("wan", tiny_wan.save_wan_two_experts, TextToVideo, (32, 32), 5)
WAN_BOTH = Family("wan", tiny_wan.save_wan_text_and_image, TextToVideo, (64, 64), 5)
VACE = Family("wan-vace", tiny_wan.save_wan_vace, VideoToVideo, (32, 32), 5)
VACE_IMAGE = Family("wan-vace", tiny_wan.save_wan_vace, ImageToVideo, (32, 32), 5)
SKYREELS = Family("skyreels-v2", tiny_wan.save_skyreels, TextToVideo, (32, 32), 5)
SKYREELS_IMAGE = Family("skyreels-v2", tiny_wan.save_skyreels_image_to_video, ImageToVideo, (32, 32), 5)
SANA = Family("sana-video", tiny_sana.save_sana_video, TextToVideo, (32, 32), 5)
LTX = Family("ltx", tiny_ltx.save_ltx, TextToVideo, (64, 64), 9)
ALLEGRO = Family("allegro", tiny_allegro.save_allegro, TextToVideo, (128, 128), 24)


def test_mochi_warns_of_words_beyond_its_256_tokens() -> None:
    context = Context()
    MOCHI.make(MOCHI.task(prompt="a red ball " * 30), context=context)
    assert any("reads 256" in warning for warning in context.warnings)


def test_mochi_refuses_a_single_step() -> None:
    """Its authors' schedule divides by half of their number."""
    with pytest.raises(UnsupportedTask, match=r"num_inference_steps=1: .* at least 2"):
        MOCHI.generator(num_inference_steps=1).complete(MOCHI.task())


@pytest.mark.parametrize("family", [HUNYUAN_IMAGE, HUNYUAN_REPLACE], ids=str)
@pytest.mark.parametrize("num_frames", [1, 5, 9])
def test_hunyuan_from_a_picture_gives_every_frame_that_was_asked(family: Family, num_frames: int) -> None:
    """diffusers cuts a latent frame off what one of the two kinds of checkpoint makes."""
    (clip,) = family.make(family.task(num_frames=num_frames))
    assert clip.num_frames == num_frames


def test_hunyuan_reads_a_negative_prompt_with_true_guidance_alone() -> None:
    task = HUNYUAN.task(negative_prompt="blurry")
    with pytest.raises(UnsupportedTask, match="only with true_cfg_scale above 1"):
        HUNYUAN.generator().complete(task)
    guided = [
        HUNYUAN.make(HUNYUAN.task(negative_prompt=words), true_cfg_scale=6.0)[0]
        for words in ("blurry", "dark and noisy")
    ]
    assert not np.array_equal(guided[0].array(), guided[1].array())
    assert guided[0].recipe.stages[-1].notes["num_denoiser_calls"] == 2 * 2


def test_hunyuan_is_shifted_as_asked_and_only_then() -> None:
    before = HUNYUAN.frames()
    (shifted,) = HUNYUAN.make(flow_shift=17.0)
    assert not np.array_equal(shifted.array(), before)
    assert np.array_equal(HUNYUAN.frames(), before)


def test_hunyuan_folders_of_either_kind_know_what_they_start_from() -> None:
    with pytest.raises(UnsupportedTask, match="makes image-to-video, not text-to-video"):
        HUNYUAN_IMAGE.generator().complete(HUNYUAN.task())
    assert (
        HunyuanVideo(model="hunyuan-video-i2v").complete(ImageToVideo.of(image=picture(0, 8, 8))).num_frames
        == 129
    )


@pytest.mark.parametrize(
    "family", [HUNYUAN, HUNYUAN_IMAGE, HUNYUAN_REPLACE, HUNYUAN_15, WAN, WAN_EXPERTS, WAN_BOTH, LTX], ids=str
)
def test_the_faster_parts_make_the_same_clip(family: Family) -> None:
    """As far as a CPU has them: our attention in eager blocks, and the VAE in a stream."""
    streams = family is not LTX
    placement = Placement(
        device="cpu",
        dtype="float32",
        attention="sdpa",
        vae_streaming=streams or None,
    )
    generator = family.generator()
    modules = Engine(placement).modules(generator)
    (clip,) = generator.generate([generator.complete(family.task())], modules, Context())
    expected = family.frames().astype(int)
    assert clip.array().shape == expected.shape
    assert (
        np.abs(clip.array() - expected).max() <= 1
    )  # another order of sums may tip a value over its rounding
    levers = clip.recipe.stages[-1].notes["levers"]
    assert levers.get("vae") == ("stream" if streams else None)
    assert levers["attention"] == "sdpa"


def test_vae_streaming_where_a_vae_cannot_is_one_clear_refusal() -> None:
    with pytest.raises(
        RequestError, match=r"no effect on AutoencoderKLLTXVideo; leave it out .*HunyuanVideo"
    ):
        Engine(Placement(device="cpu", vae_streaming=True)).modules(LTX.generator())


def test_wan_fills_in_its_authors_negative_prompt() -> None:
    completed = Wan().complete(TextToVideo.of(prompt="a red ball"))
    assert completed.negative_prompt == NEGATIVE_PROMPT
    assert Wan().complete(TextToVideo.of(prompt="a", negative_prompt="dark")).negative_prompt == "dark"
    assert Wan(negative_prompt="").complete(TextToVideo.of(prompt="a")).negative_prompt == ""
    from_picture = Wan(model="wan2.1-i2v-14b-480p").complete(ImageToVideo.of(image=picture(0, 8, 8)))
    assert from_picture.negative_prompt == f"镜头晃动，{NEGATIVE_PROMPT}"


def test_the_negative_prompt_is_read_and_in_the_recipe() -> None:
    (plain,), (dark,) = WAN.make(), WAN.make(WAN.task(negative_prompt="dark"))
    assert plain.recipe.stages[-1].task["negative_prompt"] == NEGATIVE_PROMPT
    assert not np.array_equal(plain.array(), dark.array())


def test_wan_experts_are_guided_apart() -> None:
    (clip,) = WAN_EXPERTS.make(num_inference_steps=6)
    (other,) = WAN_EXPERTS.make(num_inference_steps=6, low_noise_guidance_scale=9.0)
    assert not np.array_equal(clip.array(), other.array())


def test_wan_is_shifted_as_asked() -> None:
    (shifted,) = WAN.make(flow_shift=9.0)
    assert not np.array_equal(shifted.array(), WAN.frames())


def test_one_wan_folder_makes_clips_from_words_and_from_pictures() -> None:
    """The 5B model of Wan 2.2: its flag must survive the change of pipeline class."""
    generator = WAN_BOTH.generator()
    modules = ENGINE.modules(generator)
    words = WAN_BOTH.frames()
    task = ImageToVideo.of(prompt="a red ball", image=picture(0, 64, 64), width=64, height=64, num_frames=5)
    (clip,) = generator.generate([generator.complete(task)], modules, Context())
    assert clip.array().shape == words.shape
    assert modules.pipeline.config["expand_timesteps"] is True
    assert np.array_equal(WAN_BOTH.frames(), words)


def test_vace_follows_the_clip_that_it_is_given_as_much_as_asked() -> None:
    (given,), (other,) = VACE.make(), VACE.make(VACE.task(scene=1))
    assert not np.array_equal(given.array(), other.array())
    (edges,) = VACE.make(control="canny")
    assert not np.array_equal(given.array(), edges.array())
    (free,), (as_free,) = (VACE.make(VACE.task(scene=s), conditioning_scale=0) for s in (0, 1))
    assert np.array_equal(free.array(), as_free.array())


def test_vace_says_that_it_reads_no_strength() -> None:
    context = Context()
    VACE.make(VACE.task(strength=0.5), context=context)
    assert any("does not read strength" in warning for warning in context.warnings)


def test_vace_is_given_the_picture_as_the_first_frame_and_the_others_to_draw() -> None:
    generator = VACE_IMAGE.generator()
    modules = ENGINE.modules(generator)
    task = generator.complete(VACE_IMAGE.task())
    given = generator.arguments([task], modules.as_class(generator.pipeline_for[task.kind]), Context())
    frames, mask = given["video"], given["mask"]
    assert np.array_equal(np.asarray(frames[0]), task.image.pixels)
    assert {frame.getpixel((0, 0)) for frame in frames[1:]} == {(128, 128, 128)}
    assert [part.getpixel((0, 0)) for part in mask] == [0, *[255] * (task.num_frames - 1)]


def test_vace_is_shifted_as_its_authors_do_unless_told() -> None:
    shifts = [
        knobs.new_scheduler(ENGINE.modules(knobs), None).config.flow_shift
        for knobs in (VACE.generator(), VACE.generator(flow_shift=None), VACE.generator(flow_shift=5.0))
    ]
    assert shifts == [16.0, 3.0, 5.0]


@pytest.mark.parametrize(("family", "shift"), [(SKYREELS, 8.0), (SKYREELS_IMAGE, 5.0)], ids=str)
def test_skyreels_is_shifted_as_its_authors_do_unless_told(family: Family, shift: float) -> None:
    for knobs, wanted in ((family.generator(), shift), (family.generator(flow_shift=3.0), 3.0)):
        assert knobs.new_scheduler(ENGINE.modules(knobs), None).config.flow_shift == wanted


def test_sana_is_told_how_much_moves() -> None:
    (still,), (silent,) = SANA.make(motion_score=1), SANA.make(motion_score=None)
    assert not np.array_equal(still.array(), SANA.frames())
    assert not np.array_equal(silent.array(), SANA.frames())


def test_sana_makes_the_size_that_was_asked() -> None:
    """diffusers would make the nearest of its own sizes, and scale that."""
    seen: list[tuple[int, ...]] = []
    pipeline = ENGINE.modules(SANA.generator()).pipeline
    hook = pipeline.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:]))
    SANA.make(SANA.task(width=64))
    hook.remove()
    assert set(seen) == {(4, 8)}


def test_ltx_is_told_the_frame_rate() -> None:
    assert not np.array_equal(LTX.frames(fps=8), LTX.frames(fps=30))


def test_ltx_guidance_can_be_rescaled() -> None:
    (clip,) = LTX.make(guidance_rescale=0.7)
    assert not np.array_equal(clip.array(), LTX.frames())


def test_allegro_puts_the_authors_words_around_the_prompt_unless_told_not_to() -> None:
    (bare,) = ALLEGRO.make(praise=False)
    assert not np.array_equal(bare.array(), ALLEGRO.frames())


@pytest.mark.parametrize(
    ("side", "value", "nearest"), [("height", 700, 720), ("width", 1200, 1280), ("width", 680, "560 or 800")]
)
def test_allegro_sizes_are_whole_tiles(side: str, value: int, nearest: int | str) -> None:
    with pytest.raises(UnsupportedTask, match=rf"{side}={value}: .*nearest: {nearest}"):
        Allegro().complete(TextToVideo.of(prompt="a", **{side: value}))


@pytest.mark.parametrize(("num_frames", "nearest"), [(28, 24), (80, "72 or 88"), (200, 88), (8, 24)])
def test_allegro_lengths_are_whole_tiles(num_frames: int, nearest: int | str) -> None:
    with pytest.raises(UnsupportedTask, match=rf"num_frames={num_frames}: .*nearest: {nearest}"):
        Allegro().complete(TextToVideo.of(prompt="a", num_frames=num_frames))


def test_allegro_leaves_no_part_of_a_larger_clip_black() -> None:
    """One stride beyond a tile on both sides: diffusers leaves black what no tile covers."""
    generator = ALLEGRO.generator()
    height = generator.profile().tile + 16
    task = ALLEGRO.task(height=height, width=generator.profile().tile + 48)
    (clip,) = ALLEGRO.make(task, num_inference_steps=1)
    frames = clip.array().astype(int)
    assert all(frames[:, :, column].std() > 1 for column in range(frames.shape[2]))
    assert all(frames[:, row].std() > 1 for row in range(frames.shape[1]))
    assert all(frame.std() > 1 for frame in frames)
