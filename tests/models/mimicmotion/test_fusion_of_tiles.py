"""Tiles of frames: every frame is in one, whatever the clip's length."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from vitascope.models.mimicmotion import denoise_in_tiles, initial_latents, tile_weights, tiles_of
from vitascope.models.mimicmotion.fusion import clamped_tile, guidance_scales


@pytest.mark.parametrize(("tile_size", "tile_overlap"), [(2, 1), (4, 2), (5, 1), (7, 6), (16, 4), (72, 6)])
def test_every_frame_is_in_a_tile_that_begins_with_the_picture(tile_size: int, tile_overlap: int) -> None:
    for num_frames in range(2, 160):
        size, overlap = clamped_tile(num_frames, tile_size, tile_overlap)
        tiles = tiles_of(num_frames, size, overlap)
        assert set(itertools.chain(*tiles)) == set(range(num_frames))
        for tile in tiles:
            assert tile[0] == 0
            assert len(tile) == size == len(set(tile))
            assert tile[1:] == list(range(tile[1], tile[1] + size - 1))


def test_the_middle_of_a_tile_counts_most() -> None:
    assert tile_weights(4).tolist() == [0.25, 0.75, 0.75, 0.25]
    odd = tile_weights(5)
    assert odd.argmax() == 2 and torch.allclose(odd, odd.flip(0))


@pytest.mark.parametrize("num_frames", [2, 4, 8, 9])
def test_noise_repeats_with_the_tile(num_frames: int) -> None:
    noise = torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    assert initial_latents(noise, num_frames).flatten().tolist() == [i % 4 for i in range(num_frames)]


def test_without_guidance_the_conditions_are_asked_alone() -> None:
    """A scale of 1 takes the conditioned answer as it is, at twice the cost: the loop must agree with it."""

    def made(guidance: torch.Tensor | None) -> tuple[torch.Tensor, list[bool]]:
        scheduler = EulerDiscreteScheduler(prediction_type="v_prediction", use_karras_sigmas=True)
        scheduler.set_timesteps(3)
        asked: list[bool] = []

        def predict(inputs, timestep, tile, conditioned):
            asked.append(conditioned)
            assert (inputs[:, :, 1:] != 0).any() == conditioned, "the picture's latents"
            return inputs[:, :, :1] * 0.3 + (0.1 if conditioned else -0.5)

        latents = torch.randn(1, 7, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        tiles = tiles_of(7, 4, 2)
        return denoise_in_tiles(scheduler, latents, torch.ones(1, 1, 2, 2), predict, tiles, guidance), asked

    plain, asked = made(None)
    guided, twice = made(guidance_scales(1.0, 1.0, 7, torch.ones(1)))
    assert all(asked) and len(twice) == 2 * len(asked)
    assert torch.allclose(plain, guided, atol=1e-5)
    stronger, _ = made(guidance_scales(1.0, 3.0, 7, torch.ones(1)))
    assert torch.allclose(stronger[:, 0], plain[:, 0], atol=1e-5)
    assert not torch.allclose(stronger[:, -1], plain[:, -1], atol=1e-2)
