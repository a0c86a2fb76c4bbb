"""ExVideo on the toy world: clips that go on for ever, the loss against the sampler, what training touches."""

import itertools
import random

import torch
from diffusers import EulerDiscreteScheduler

from tests.generators import tiny_svd
from vitascope.models.exvideo.unet import ExVideoUNet
from vitascope.toyworld.scenes import DIRECTIONS
from vitascope.training.exvideo.graphed import InHalf
from vitascope.training.exvideo.parts import new_scheduler
from vitascope.training.exvideo.recipe import velocity_target
from vitascope.training.exvideo.world import TURN, LatentWorld, frame_order, moving_scenes


def test_long_clips_have_no_jump():
    """A straight motion turns round, the others come full circle: neighbours are always neighbours."""
    for scene in moving_scenes(1, 40):
        order = frame_order(scene, 5, 100)
        steps = {abs(a - b) for a, b in itertools.pairwise(order)}
        straight = scene.actors[0].motion in DIRECTIONS
        assert steps == ({1} if straight else {1, TURN - 1})
        assert max(order) == (TURN if straight else TURN - 1)


def test_clips_are_cut_out_of_the_encoded_passes():
    scenes = moving_scenes(2, 3)
    moments = torch.arange(TURN + 1).float().view(1, -1, 1, 1, 1).expand(3, -1, 1, 2, 2)
    clips = LatentWorld(scenes, moments).clips(4, 30, random.Random(0))
    assert clips.shape == (4, 30, 1, 2, 2)
    assert float(clips.max()) <= TURN


def test_a_perfect_denoiser_gives_the_clean_latents_in_one_step():
    """The training target is what SVD's scheduler takes for the prediction of clean latents."""
    scheduler = new_scheduler()
    assert isinstance(scheduler, EulerDiscreteScheduler)
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(1, 3, 2, 4, 4), torch.randn(1, 3, 2, 4, 4)
    sigma = scheduler.sigmas[2]
    noisy = clean + sigma * noise
    timestep = scheduler.timesteps[2]
    scheduler.scale_model_input(noisy, timestep)
    step = scheduler.step(velocity_target(clean, noisy, sigma), timestep, noisy)
    assert torch.allclose(step.pred_original_sample, clean, atol=1e-3)


def test_an_extension_starts_where_the_base_stands_and_trains_what_the_authors_train():
    base = tiny_svd.unet(num_frames=4).eval()
    unet = ExVideoUNet.from_svd(base, 9)
    named = set(unet.extension_parameters())
    assert all("temporal_transformer_blocks" in n or "time_p" in n for n in named)
    clip = torch.randn(1, 4, 8, 16, 16)
    said = (torch.tensor(0.3), torch.randn(1, 1, 32), torch.tensor([[6.0, 127.0, 0.02]]))
    with torch.no_grad():
        assert torch.allclose(unet(clip, *said).sample, base(clip, *said).sample, atol=1e-5)


def test_rounded_weights_give_nearly_the_same_and_their_gradients_reach_the_exact_ones():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 4))
    net[0].weight.requires_grad_(False)
    half, given = InHalf(net), torch.randn(3, 8)
    made = half(given.bfloat16())
    assert made.dtype == torch.bfloat16
    assert torch.allclose(made.float(), net(given), atol=0.05)
    made.float().sum().backward()
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    assert gradients.pop("0.weight") is None
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients.values())
