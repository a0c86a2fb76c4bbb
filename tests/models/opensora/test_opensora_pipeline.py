"""From words and pictures to frames, with random weights."""

import numpy as np
import pytest
import torch

from tests.models.opensora.tiny_opensora import SIZE, tiny_pipeline
from vitascope.errors import RequestError, UnsupportedTask
from vitascope.models.opensora.pipeline import OpenSoraPipeline


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def make(pipeline, prompt="a red ball rolls", seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return pipeline(prompt, generator=generator, **{"output_type": "np", **SIZE, **options}).frames


def test_same_seed_same_frames_other_seed_or_prompt_other_frames(pipeline):
    frames = make(pipeline)
    assert frames.shape == (1, 17, 32, 48, 3)
    assert np.isfinite(frames).all()
    assert frames.min() >= 0 and frames.max() <= 1
    assert np.array_equal(frames, make(pipeline))
    assert not np.allclose(frames, make(pipeline, seed=1), atol=0.01)
    assert not np.allclose(frames, make(pipeline, prompt="a blue cat runs on grass"), atol=0.001)


def test_a_negative_prompt_and_the_rate_change_the_video(pipeline):
    latents = make(pipeline, output_type="latent")
    for change in (
        {"negative_prompt": "a blue cat"},
        {"fps": 8},
        {"guidance_scale": 1.0},
        {"motion_score": 4.0},
    ):
        assert not torch.equal(latents, make(pipeline, **{"output_type": "latent", **change})), change


def test_several_prompts_give_several_videos(pipeline):
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    frames = pipeline(["a red ball rolls", "a cat"], generator=generators, output_type="np", **SIZE).frames
    assert frames.shape == (2, 17, 32, 48, 3)
    # Their captions differ in length, so here a mask does what trimming does for one prompt.
    assert np.allclose(frames[0], make(pipeline)[0], atol=1e-4)


def test_a_still_picture(pipeline):
    assert make(pipeline, num_frames=1).shape == (1, 1, 32, 48, 3)


def test_a_size_that_is_no_multiple_of_8_is_rounded_down(pipeline):
    assert make(pipeline, width=50, height=34).shape == (1, 17, 32, 48, 3)


def test_a_given_picture_stays_in_the_latents(pipeline):
    picture = torch.rand(3, 1, 32, 48, generator=torch.Generator().manual_seed(7)) * 2 - 1
    given = pipeline.vae.encode(picture[None], generator=torch.Generator().manual_seed(0))
    free = make(pipeline, output_type="latent")
    led = make(pipeline, references=[picture], mask_strategy="0", output_type="latent")
    assert torch.equal(led[:, :, 0], given[:, :, 0])
    assert not torch.equal(free[:, :, 0], given[:, :, 0])
    assert led.shape == (1, 4, 5, 4, 6)


def test_loops_go_on_where_the_last_one_ended(pipeline):
    frames = make(pipeline, num_frames=34, num_loops=2, prompt="|0|a red ball|1|a blue cat")
    assert frames.shape == (1, 34 + 17, 32, 48, 3)


def test_each_step_is_told_and_can_stop_the_run(pipeline):
    seen = []

    def stop_at_second(pipe, step, timestep, tensors):
        seen.append((step, float(timestep), tuple(tensors["latents"].shape)))
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(pipeline, num_inference_steps=4, callback_on_step_end=stop_at_second)
    assert [step for step, *_ in seen] == [0, 1]
    assert seen[0][1] == pytest.approx(1000) and seen[1][1] < 1000
    assert pipeline.num_timesteps == 4


def test_a_callback_may_change_the_latents(pipeline):
    def clear(pipe, step, timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])}

    assert not make(pipeline, callback_on_step_end=clear, output_type="latent").any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_frames": 5}, "nearest: 17"),
        ({"num_frames": 40, "num_loops": 2}, "nearest: 34"),
        ({"height": 8}, "16x16"),
    ],
)
def test_impossible_sizes_are_refused_with_the_nearest_possible(pipeline, options, said):
    with pytest.raises(UnsupportedTask, match=said):
        make(pipeline, **options)


@pytest.mark.parametrize("strategy", ["0", "0,3", "1,2,3,4,5,6,7", "x", "0,0,0,0,1,2"])
def test_bad_mask_strategies_are_refused(pipeline, strategy):
    with pytest.raises(RequestError):
        make(pipeline, mask_strategy=strategy)


def test_a_chinese_prompt_is_refused_not_emptied(pipeline):
    with pytest.raises(RequestError, match="English only"):
        make(pipeline, prompt="一只红色的球")


def test_saved_and_loaded_it_makes_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = OpenSoraPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(make(pipeline), make(again))
