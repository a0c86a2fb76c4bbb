"""Streaming decode equals the one-shot decode."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLMochi
from diffusers.video_processor import VideoProcessor

from vitascope.engine import streaming_vae
from vitascope.errors import RequestError


def mochi_vae():
    torch.manual_seed(0)
    return AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 64, 64),
        layers_per_block=(1, 2, 1, 2, 1),
    ).eval()


def cogvideox_vae():
    torch.manual_seed(0)
    return AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2, latent_channels=4
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("frames_per_group", [1, 2, 3])
def test_mochi_stream_equals_one_shot(frames_per_group):
    vae = mochi_vae()
    latents = torch.randn(2, 12, 4, 3, 4)
    expected = vae.decode(latents).sample
    groups = list(streaming_vae.decode(vae, latents, frames_per_group))
    assert groups[0].shape[2] == 6 * frames_per_group - 5  # frames come as they are decoded
    torch.testing.assert_close(torch.cat(groups, dim=2), expected, atol=3e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 6])
def test_cogvideox_stream_equals_diffusers_frame_groups(frames):
    vae = cogvideox_vae()
    latents = torch.randn(1, 4, frames, 2, 3)
    expected = vae.decode(latents).sample
    groups = list(streaming_vae.decode(vae, latents))
    torch.testing.assert_close(torch.cat(groups, dim=2), expected, atol=0, rtol=0)


@torch.no_grad()
def test_installed_on_a_vae_it_serves_decode():
    vae = mochi_vae()
    latents = torch.randn(2, 12, 3, 3, 4)
    expected = vae.decode(latents).sample
    streaming_vae.install(vae)
    torch.testing.assert_close(vae.decode(latents).sample, expected, atol=3e-6, rtol=1e-5)
    vae.enable_slicing()
    torch.testing.assert_close(vae.decode(latents, return_dict=False)[0], expected, atol=3e-6, rtol=1e-5)


@torch.no_grad()
def test_frames_arrive_as_diffusers_would_round_them():
    vae = mochi_vae()
    latents = torch.randn(2, 12, 3, 3, 4)
    expected = VideoProcessor().postprocess_video(vae.decode(latents).sample, output_type="np")
    expected = (expected * 255).round().astype(np.uint8)
    streaming_vae.install(vae)
    with streaming_vae.arriving(vae) as clips:
        vae.decode(latents)
    for clip, wanted in zip(clips, expected, strict=True):
        assert clip.shape == wanted.shape
        # another order of sums may tip a value over the edge of rounding
        assert np.abs(clip[0:13].astype(int) - wanted).max() <= 1
        assert np.array_equal(np.concatenate([clip[0:5], clip[5:13]]), clip[0:13])
        assert np.array_equal(pickle.loads(pickle.dumps(clip)), clip[0:13])
        assert clip[13:20].shape[0] == 0
    assert vae.decode(latents).sample.shape[2] == 13  # and afterwards it decodes as before


def test_another_vae_is_refused():
    with pytest.raises(RequestError, match="Linear"):
        streaming_vae.decode(torch.nn.Linear(1, 1), torch.zeros(1))
