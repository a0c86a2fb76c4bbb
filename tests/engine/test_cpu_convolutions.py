"""Convolutions by oneDNN: the same sums, and nothing else of a module changes."""

import copy

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from vitascope.engine.cpu_convolutions import use_onednn


@pytest.mark.parametrize("frames", [1, 9, 17])
def test_an_autoencoder_computes_the_same(frames):
    torch.manual_seed(0)
    stock = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4
    ).eval()
    faster = copy.deepcopy(stock)
    use_onednn(faster)
    clip = torch.rand(1, 3, frames, 32, 32) * 2 - 1
    with torch.inference_mode():
        latents = stock.encode(clip).latent_dist.mean
        torch.testing.assert_close(faster.encode(clip).latent_dist.mean, latents, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            faster.decode(latents).sample, stock.decode(latents).sample, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    "settings", [{"stride": 2}, {"padding": 1}, {"groups": 4}, {"dilation": 2, "bias": False}]
)
def test_every_setting_of_a_convolution_counts(settings):
    torch.manual_seed(0)
    stock = torch.nn.Conv3d(8, 8, 3, **settings)
    faster = copy.deepcopy(stock)
    use_onednn(faster)
    x = torch.randn(2, 8, 7, 9, 9)
    with torch.inference_mode():
        torch.testing.assert_close(faster(x), stock(x), rtol=1e-5, atol=1e-5)


def test_training_and_other_types_go_the_usual_way():
    convolution = torch.nn.Conv3d(2, 2, 3)
    use_onednn(convolution)
    x = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    convolution(x).sum().backward()
    assert x.grad is not None
    assert convolution.to(torch.float64)(x.detach().double()).dtype == torch.float64
