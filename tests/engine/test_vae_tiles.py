"""A clip that is decoded in tiles has the size and the picture of one that is not."""

from pathlib import Path

import pytest
import torch
import vitascope_embedded
from diffusers import AutoencoderKLCogVideoX

from vitascope.engine import vae_tiles


@pytest.fixture(scope="module")
def sprout():
    return AutoencoderKLCogVideoX.from_pretrained(Path(vitascope_embedded.path("sprout")) / "vae")


def tiny(**size):
    """diffusers makes a tile half of `sample_height` and `sample_width`."""
    return AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2, **size
    )


@torch.inference_mode()
def test_sprouts_tiles_fit_together(sprout):
    across = torch.linspace(-1, 1, 128)
    picture = torch.stack(
        [across[:, None] * across, across[:, None].expand(128, 128), across.expand(128, 128)]
    )
    latents = sprout.encode(picture[None, :, None]).latent_dist.mode()
    whole = sprout.decode(latents).sample
    try:
        vae_tiles.enable(sprout)
        tiled = sprout.decode(latents).sample
        again = sprout.encode(picture[None, :, None]).latent_dist.mode()
    finally:
        sprout.disable_tiling()
    assert tiled.shape == whole.shape == (1, 3, 1, 128, 128)
    assert (tiled - whole).abs().mean() < 0.05, "nothing is moved"
    assert not torch.equal(tiled, whole) and again.shape == latents.shape


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(96, 80), (104, 200), (64, 72)])
def test_tiles_of_any_size_fit_together(height, width):
    vae = tiny(sample_height=height, sample_width=width)
    vae_tiles.enable(vae)
    latents = torch.zeros(1, 16, 1, 14, 17)
    assert vae.decode(latents).sample.shape[-2:] == (14 * 8, 17 * 8)


def test_tiles_that_fit_as_diffusers_has_them_stay():
    ours, theirs = (tiny(sample_height=480, sample_width=720) for _ in range(2))
    vae_tiles.enable(ours)
    theirs.enable_tiling()
    for side in vae_tiles.SIDES:
        for size in (f"tile_latent_min_{side}", f"tile_sample_min_{side}"):
            assert getattr(ours, size) == getattr(theirs, size)
        before, after = (getattr(vae, f"tile_overlap_factor_{side}") for vae in (theirs, ours))
        assert float(after) == before
