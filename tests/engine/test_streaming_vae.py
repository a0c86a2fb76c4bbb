"""Streaming decode equals the one-shot decode."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLMochi,
    AutoencoderKLWan,
)
from diffusers.video_processor import VideoProcessor

from vitascope.engine import streaming_vae
from vitascope.engine.streaming_vae import MochiStream
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
    groups = list(MochiStream(vae).decode(latents, frames_per_group))
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


def hunyuan_vae():
    torch.manual_seed(0)
    vae = AutoencoderKLHunyuanVideo(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=2, latent_channels=4
    )
    return vae.eval()


def hunyuan15_vae():
    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8, 16, 16), layers_per_block=1
    ).eval()


def wan_vae(**config):
    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=4, z_dim=4, num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4, **config
    ).eval()


def other_norms(vae):
    """Norms as after training: at their start they would hide a scale or shift gone astray."""
    for name, parameter in vae.named_parameters():
        if "norm" in name:
            parameter.data = torch.randn_like(parameter)
    return vae


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 7, 8, 9, 11])
def test_hunyuan_stream_equals_diffusers_blended_pieces(frames):
    vae = other_norms(hunyuan_vae())
    latents = torch.randn(1, 4, frames, 3, 2)
    expected = vae.decode(latents).sample
    assert expected.shape[2] == 4 * frames - 3
    groups = list(streaming_vae.decode(vae, latents))
    assert len(groups) == (1 if frames <= 4 else -(-(frames - 1) // 3))
    torch.testing.assert_close(torch.cat(groups, dim=2), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_hunyuan15_stream_equals_one_shot(frames):
    vae = other_norms(hunyuan15_vae())
    latents = torch.randn(1, 4, frames, 3, 2)
    expected = vae.decode(latents).sample
    groups = list(streaming_vae.decode(vae, latents))
    assert groups[0].shape[2] == 1
    torch.testing.assert_close(torch.cat(groups, dim=2), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    "config", [{}, {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}]
)
def test_wan_stream_equals_diffusers_to_the_bit(config):
    vae = wan_vae(**config)
    latents = 3 * torch.randn(1, 4, 4, 3, 2)  # large enough that some pixels are cut off at white
    expected = vae.decode(latents).sample
    groups = list(streaming_vae.decode(vae, latents))
    assert [group.shape[2] for group in groups] == [1, 4, 4, 4]
    torch.testing.assert_close(torch.cat(groups, dim=2), expected, atol=0, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("build", [hunyuan_vae, hunyuan15_vae, wan_vae])
def test_each_clip_of_a_batch_is_the_clip_alone(build):
    vae = build()
    latents = torch.randn(2, 4, 6, 3, 2)
    alone = torch.cat([vae.decode(clip).sample for clip in latents.split(1)])
    streaming_vae.install(vae)
    torch.testing.assert_close(vae.decode(latents).sample, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(vae.decode(latents, return_dict=False)[0], alone, atol=1e-5, rtol=1e-4)
    with streaming_vae.arriving(vae) as clips:
        vae.decode(latents)
    assert [clip.shape[0] for clip in clips] == [21, 21]


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
    with pytest.raises(RequestError, match=r"no effect on Linear; leave it out .*Mochi.*Wan"):
        streaming_vae.decode(torch.nn.Linear(1, 1), torch.zeros(1))
