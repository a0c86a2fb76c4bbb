"""Text, and given frames, to video with tiny random weights."""

import pytest
import torch

from tests.models.opensora_plan.tiny_opensora_plan import SIZE, tiny_pipeline
from vitascope.errors import JobCancelled, RequestError, RunError, UnsupportedTask
from vitascope.models.opensora_plan import OpenSoraPlanPipeline

RELEASES = ("1.2", "1.3")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(pipeline, prompt="a red ball rolls", seed=0, **changes):
    return pipeline(prompt, generator=seeded(seed), **{**SIZE, **changes}).frames


@pytest.fixture(scope="module", params=RELEASES)
def pipeline(request) -> OpenSoraPlanPipeline:
    return tiny_pipeline(request.param)


@pytest.fixture(scope="module", params=RELEASES)
def inpainting(request) -> OpenSoraPlanPipeline:
    return tiny_pipeline(request.param, inpainting=True)


def test_the_clip_is_of_the_asked_size_and_its_own(pipeline):
    frames = make(pipeline)
    assert frames.shape == (1, 5, 3, 32, 48)
    assert 0 <= frames.min() < frames.max() <= 1
    assert torch.equal(make(pipeline), frames)
    assert not torch.equal(make(pipeline, seed=1), frames)
    assert not torch.equal(make(pipeline, "a blue cat runs"), frames)
    assert not torch.equal(make(pipeline, negative_prompt="lowres cat"), frames)


def test_a_batch_is_its_members(pipeline):
    prompts = ["a red ball rolls", "a blue cat runs"]
    both = pipeline(prompts, generator=[seeded(3), seeded(4)], **SIZE).frames
    for index, prompt in enumerate(prompts):
        assert torch.allclose(both[index], make(pipeline, prompt, seed=3 + index)[0], atol=1e-4)


def test_size_and_length_default_to_the_trained_ones(pipeline):
    frames = make(pipeline, height=None, width=None, num_frames=None)
    assert frames.shape == (1, 5, 3, 32, 48)


def test_a_single_frame_is_a_picture(pipeline):
    assert make(pipeline, num_frames=1).shape == (1, 1, 3, 32, 48)


def test_each_step_is_told_and_may_change_the_latents_or_stop(pipeline):
    seen = []

    def listen(_, step, timestep, tensors):
        seen.append((step, float(timestep), tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])}

    blank = make(pipeline, callback_on_step_end=listen)
    assert [step for step, _, _ in seen] == [0, 1]
    assert pipeline.num_timesteps == 2
    assert torch.equal(blank, make(pipeline, seed=7, callback_on_step_end=listen))

    def stop(*_):
        raise JobCancelled("enough")

    with pytest.raises(JobCancelled):
        make(pipeline, callback_on_step_end=stop)


def test_guidance_of_one_reads_no_negative_prompt(pipeline):
    alone = make(pipeline, guidance_scale=1.0)
    assert torch.equal(alone, make(pipeline, guidance_scale=1.0, negative_prompt="blurry cat"))
    assert not torch.equal(alone, make(pipeline))
    assert not torch.equal(make(pipeline, guidance_rescale=0.7), make(pipeline))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [({"num_frames": 6}, "nearest: 5"), ({"width": 40}, "multiple of 16"), ({"height": 8}, "nearest: 16")],
)
def test_what_is_off_the_grid_is_refused(pipeline, changes, hint):
    with pytest.raises(UnsupportedTask, match=hint):
        make(pipeline, **changes)


def test_a_denoiser_that_gives_no_numbers_is_reported():
    broken = tiny_pipeline("1.3")
    broken.transformer.proj_out.bias.data[0] = float("nan")
    with pytest.raises(RunError, match="no numbers"):
        make(broken)


def test_given_frames_steer_the_clip(inpainting):
    def made(**given):
        return make(inpainting, num_inference_steps=4, guidance_scale=1.0, **given)

    picture = torch.rand(3, 1, 32, 48) * 2 - 1
    free, animated = made(), made(given_frames=picture)
    assert animated.shape == free.shape
    assert not torch.equal(animated, free)
    assert not torch.equal(animated, made(given_frames=-picture))
    assert not torch.equal(animated, made(given_frames=picture, given_indices=(-1,)))
    ends = picture.expand(-1, 2, -1, -1)
    assert made(given_frames=ends, given_indices=(0, -1)).shape == free.shape


def test_too_few_steps_for_a_sampler_are_refused():
    with pytest.raises(UnsupportedTask, match="PNDMScheduler needs more steps"):
        make(tiny_pipeline("1.2", inpainting=True), num_inference_steps=2)


def test_given_frames_that_do_not_fit_are_refused(pipeline, inpainting):
    picture = torch.zeros(3, 1, 32, 48)
    with pytest.raises(UnsupportedTask, match="from text alone"):
        make(pipeline, given_frames=picture)
    with pytest.raises(UnsupportedTask, match="2 indices"):
        make(inpainting, given_frames=picture, given_indices=(0, -1))
    with pytest.raises(RequestError, match="given frame 5"):
        make(inpainting, given_frames=picture, given_indices=(5,))


def test_a_saved_pipeline_makes_the_same_clip(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = OpenSoraPlanPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.release == pipeline.release
    assert torch.equal(make(loaded), make(pipeline))


def test_chunks_of_the_autoencoder_change_nothing():
    whole = tiny_pipeline("1.3")
    frames = make(whole, num_frames=21)
    whole.vae.enable_tiling(2)
    assert torch.allclose(make(whole, num_frames=21), frames, atol=1e-5)
