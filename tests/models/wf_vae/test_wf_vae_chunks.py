"""Chunks of time must leave no seam, and hold no more frames than asked."""

import pytest
import torch
from torch import nn

from tests.models.wf_vae.tiny_wf_vae import tiny_wf_vae
from vitascope.errors import RequestError


@torch.no_grad()
@pytest.mark.parametrize("ratio", [4, 8])
@pytest.mark.parametrize("interpolation", ["trilinear", "nearest"])
def test_any_chunk_size_gives_the_whole_clips_result(ratio, interpolation):
    vae = tiny_wf_vae(temporal_compression_ratio=ratio, time_interpolation=interpolation)
    # 6 latent frames: a remainder of 0, 1 or 2 after chunks, the lengths at which upstream's tiling failed.
    clip = torch.randn(1, 3, 5 * ratio + 1, 16, 24)
    moments = vae.encode(clip).latent_dist.parameters
    latents = moments.chunk(2, dim=1)[0]
    decoded = vae.decode(latents).sample
    assert decoded.shape == clip.shape
    for size in (1, 2, 4, 5):
        vae.enable_tiling(size)
        assert torch.allclose(vae.encode(clip).latent_dist.parameters, moments, atol=5e-6), size
        assert torch.allclose(vae.decode(latents).sample, decoded, atol=2e-5), size


@torch.no_grad()
def test_frames_are_given_out_as_soon_as_they_are_final():
    vae = tiny_wf_vae()
    latents = torch.randn(1, 4, 6, 2, 3)
    vae.enable_tiling(2)
    lengths = [chunk.shape[2] for chunk in vae.decode_chunks(latents)]
    assert sum(lengths) == 21
    assert lengths[0] > 0
    assert max(lengths) <= 2 * 4 + 2  # the last chunk also gives the frames that were held back


@torch.no_grad()
def test_no_layer_sees_more_frames_than_a_chunk_has():
    vae = tiny_wf_vae()
    longest = 0

    def measure(_: nn.Module, arguments: tuple, __: object) -> None:
        nonlocal longest
        longest = max(longest, arguments[0].shape[2])

    for layer in vae.modules():
        if isinstance(layer, nn.Conv3d):
            layer.register_forward_hook(measure)
    vae.enable_tiling(1)
    vae.decode(torch.randn(1, 4, 9, 2, 2))
    assert longest <= 4 + 2  # frames of the last chunk at full rate, with two of context


@torch.no_grad()
def test_a_clip_leaves_nothing_behind_for_the_next():
    vae = tiny_wf_vae()
    vae.enable_tiling(2)
    first, second = torch.randn(2, 1, 4, 4, 2, 2)
    fresh = vae.decode(second).sample
    vae.decode(first)
    next(vae.decode_chunks(first))  # abandoned half-way
    assert torch.equal(vae.decode(second).sample, fresh)


@torch.no_grad()
def test_slicing_changes_nothing():
    vae = tiny_wf_vae()
    clips = torch.randn(2, 3, 5, 16, 16)
    moments = vae.encode(clips).latent_dist.parameters
    vae.enable_slicing()
    assert torch.allclose(vae.encode(clips).latent_dist.parameters, moments, atol=5e-6)


def test_group_norms_refuse_chunks():
    vae = tiny_wf_vae(
        base_channels=32, encoder_flow_channels=32, decoder_flow_channels=32, norm_type="groupnorm"
    )
    with pytest.raises(RequestError, match="all frames at once"):
        vae.enable_tiling()


@pytest.mark.parametrize(
    ("shape", "hint"), [((6, 16, 16), "nearest is 5"), ((5, 12, 16), "16x12"), ((2, 16, 16), "nearest is 1")]
)
def test_a_clip_off_the_grid_is_refused(shape, hint):
    with pytest.raises(RequestError, match=hint):
        tiny_wf_vae().encode(torch.zeros(1, 3, *shape))


def test_latents_are_scaled_by_channel_and_back():
    vae = tiny_wf_vae(scaling_factor=[0.1, 0.2, 0.5, 1.0], shift_factor=[1.0, 0.0, 0.0, 0.0])
    z = torch.ones(1, 4, 1, 1, 1)
    assert torch.allclose(vae.scale_latents(z).flatten(), torch.tensor([0.0, 0.2, 0.5, 1.0]))
    assert torch.allclose(vae.unscale_latents(vae.scale_latents(z)), z)
    with pytest.raises(RequestError, match="no statistics"):
        tiny_wf_vae(scaling_factor=None).scale_latents(z)


@torch.no_grad()
def test_an_offloaded_model_is_fetched_before_it_works():
    class Fetch:
        fetched = 0

        def pre_forward(self, module):
            self.fetched += 1

    vae = tiny_wf_vae()
    vae._hf_hook = Fetch()
    vae.encode(torch.zeros(1, 3, 1, 16, 16))
    vae.decode(torch.zeros(1, 4, 1, 2, 2))
    assert vae._hf_hook.fetched >= 2
