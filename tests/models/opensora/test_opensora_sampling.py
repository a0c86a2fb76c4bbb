"""The schedule, the mask strategies, and the loop that keeps, edits or makes frames."""

import math

import pytest
import torch

from vitascope.errors import RequestError, UnknownName
from vitascope.models.opensora.conditioning import (
    ReferencePlacement,
    continuation,
    parse_mask_strategy,
    place_references,
)
from vitascope.models.opensora.presets import NUM_FRAMES, preset_size
from vitascope.models.opensora.sampler import denoise
from vitascope.models.opensora.scheduler import OpenSoraScheduler


def schedule(steps=10, **size) -> OpenSoraScheduler:
    scheduler = OpenSoraScheduler()
    scheduler.set_timesteps(steps, **size)
    return scheduler


def test_timesteps_fall_and_big_videos_stay_longer_near_noise():
    small, big = schedule(height=144, width=256), schedule(height=720, width=1280, num_frames=204)
    for scheduler in (small, big):
        assert scheduler.timesteps[0] == pytest.approx(1000)
        assert (scheduler.timesteps <= 1000).all()
        assert (scheduler.timesteps.diff() < 0).all()
    assert (big.timesteps[1:] > small.timesteps[1:]).all()


def test_timesteps_of_the_default_video():
    ratio = math.sqrt(240 * 426) / 512 * math.sqrt(15)
    expected = [1000 * ratio * u / (1 + (ratio - 1) * u) for u in (1, 0.75, 0.5, 0.25)]
    assert schedule(4, height=240, width=426, num_frames=51).timesteps.tolist() == pytest.approx(expected)


def test_no_schedule_for_a_video_shorter_than_a_chunk():
    with pytest.raises(ValueError, match="use 1 or at least 17"):
        schedule(num_frames=16)


def test_true_velocities_lead_from_noise_to_the_clean_latents():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(1, 4, 5, 2, 3, generator=generator) for _ in range(2))
    made = denoise(schedule(), lambda *_: clean - noise, noise)
    assert torch.allclose(made, clean, atol=1e-5)


def test_a_foreign_timestep_is_refused():
    with pytest.raises(ValueError, match="not one of this schedule"):
        schedule().step(torch.zeros(1), torch.tensor(1.5), torch.zeros(1))


def test_kept_frames_stay_made_ones_change_and_edited_ones_wait():
    latents, ratio = torch.ones(1, 1, 3, 1, 1), torch.tensor([[0.0, 0.5, 1.0]])
    active = []

    def predict(latents, timestep, mask):
        active.append(mask[0].tolist())
        return torch.full_like(latents, 10.0)

    made = denoise(schedule(4), predict, latents, ratio, torch.zeros_like).flatten()
    assert made[0] == 1
    assert made[2] == pytest.approx(11)
    # At 512 x 512 the 4 timesteps are 1000, 750, 500, 250: half of the way is walked, from half noise.
    assert active == [[False, False, True]] * 2 + [[False, True, True]] * 2
    assert made[1] == pytest.approx(0.5 + 5)


def test_mask_strategies_are_read_with_their_defaults():
    assert parse_mask_strategy("") == []
    assert parse_mask_strategy("0;1,0,-5,0,5,0.4") == [
        ReferencePlacement(),
        ReferencePlacement(1, 0, -5, 0, 5, 0.4),
    ]


def test_references_are_placed_on_chunk_borders():
    latents, reference = torch.zeros(1, 4, 15, 2, 2), torch.ones(4, 10, 2, 2)
    placed, ratio = place_references(latents, [reference], parse_mask_strategy("0,0,0,8,5,0.25"))
    assert placed[0, 0, :, 0, 0].tolist() == [0] * 10 + [1] * 5
    assert ratio.tolist() == [1] * 10 + [0.25] * 5
    assert not latents.any(), "the noise that was given is left as it is"


def test_a_reference_of_another_loop_is_left_out():
    placed, ratio = place_references(
        torch.zeros(1, 4, 5, 2, 2), [torch.ones(4, 1, 2, 2)], [ReferencePlacement(loop=1)]
    )
    assert not placed.any()
    assert (ratio == 1).all()


def test_a_continuation_brings_the_last_chunk_to_the_front():
    last = torch.arange(10.0).view(1, 1, 10, 1, 1)
    placed, ratio = place_references(torch.zeros(1, 1, 10, 1, 1), [last], [continuation(1, 0)], loop=1)
    assert placed.flatten().tolist() == [5, 6, 7, 8, 9, 0, 0, 0, 0, 0]
    assert ratio.tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    "placement",
    [
        ReferencePlacement(reference=1),
        ReferencePlacement(reference_start=-9),
        ReferencePlacement(target_start=9),
    ],
)
def test_stretches_outside_are_refused(placement):
    with pytest.raises(RequestError):
        place_references(torch.zeros(1, 4, 5, 2, 2), [torch.ones(4, 1, 2, 2)], [placement])


def test_presets():
    assert preset_size("240p") == (240, 426)
    assert preset_size("720p", "16:9") == (1280, 720)
    assert NUM_FRAMES["4s"] == 102
    with pytest.raises(UnknownName, match="did you mean '240p'"):
        preset_size("241p")
    with pytest.raises(UnknownName):
        preset_size("240p", "5:4")
