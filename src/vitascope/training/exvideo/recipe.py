"""Three trainings: the tiny SVD's autoencoder, its denoiser at 25 frames, and the extension to more.

Source: noise levels, preconditioning and loss weight of SVD, arXiv 2311.15127, appendix D (after Karras et al.,
arXiv 2206.00364); what the extension trains and what stays frozen, arXiv 2406.14130 and SPEC of the port in
`vitascope.models.exvideo`.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from vitascope.models.exvideo.unet import ExVideoUNet
from vitascope.training.exvideo.parts import EMBEDDING, new_unet, new_vae
from vitascope.training.exvideo.world import SIZE, TURN, LatentWorld, drawn_once, moving_scenes
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train

FPS, MOTION_BUCKET, NOISE_AUG = 7, 127, 0.02


@dataclass(frozen=True)
class Recipe:
    """How much of everything. Range: `drop` is the share of clips trained without their picture."""

    num_scenes: int = 2048
    vae_batch: int = 64
    batch: int = 16
    long_batch: int = 8
    lr: float = 6e-4
    extension_lr: float = 3e-4
    drop: float = 0.15
    seed: int = 5


def train_vae(recipe: Recipe, budget: Budget, ranks: Ranks) -> AutoencoderKLTemporalDecoder:
    """An autoencoder of toy-world frames; its latents come out with about unit spread."""
    torch.manual_seed(recipe.seed)
    vae = new_vae().to(ranks.device)
    net = cast(nn.Module, vae)
    pixels = _frames(recipe, ranks)
    rng = random.Random(recipe.seed)

    def loss_of(_step: int, _elapsed: float) -> dict[str, Tensor]:
        window = 4
        rows = torch.tensor([rng.randrange(len(pixels)) for _ in range(recipe.vae_batch // window)])
        first = torch.tensor([rng.randrange(TURN + 2 - window) for _ in rows])
        truth = pixels[rows[:, None], first[:, None] + torch.arange(window)].flatten(0, 1)
        truth = truth.to(ranks.device).float() / 127.5 - 1
        with _half(ranks):
            posterior = vae.encode(truth).latent_dist
            made = vae.decode(posterior.sample(), num_frames=window).sample.float()
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).float().mean()
        moving = 1 + 4 * (truth - truth.mean(0, keepdim=True)).abs().amax(1, keepdim=True).clamp_max(1)
        error = (made - truth) * moving
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        pixel_loss = error.abs().mean() + error.square().mean() + 0.5 * edges
        return {
            "loss": pixel_loss + 1e-5 * kl,
            "psnr": 10 * torch.log10(4 / F.mse_loss(made.detach(), truth)),
        }

    _run(net, list(net.parameters()), 1e-3, loss_of, budget, ranks)
    world = LatentWorld.encoded(vae, moving_scenes(recipe.seed + 1, 64), ranks.device)
    vae.register_to_config(scaling_factor=round(1 / float(world.latents.float().std()), 4))
    return vae.eval()


def _frames(recipe: Recipe, ranks: Ranks) -> Tensor:
    """Drawn passes as bytes, in main memory. Shape: (N, TURN + 1, 3, H, W)."""
    chosen = moving_scenes(recipe.seed, min(1024, recipe.num_scenes))
    parts = [drawn_once(chosen[i : i + 32], ranks.device) for i in range(0, len(chosen), 32)]
    return torch.cat([((part + 1) * 127.5).round().to(torch.uint8).cpu() for part in parts])


def train_base(
    recipe: Recipe, vae: AutoencoderKLTemporalDecoder, budget: Budget, ranks: Ranks
) -> UNetSpatioTemporalConditionModel:
    """The tiny SVD: a denoiser of 25 frames."""
    torch.manual_seed(recipe.seed)
    unet = new_unet().to(ranks.device)
    net = cast(nn.Module, unet)
    world = LatentWorld.encoded(vae, moving_scenes(recipe.seed + 2, recipe.num_scenes), ranks.device)
    loss_of = _denoising_loss(recipe, vae, unet, world, unet.config["num_frames"], recipe.batch, ranks)
    _run(net, list(net.parameters()), recipe.lr, loss_of, budget, ranks)
    return unet.eval()


def train_extension(
    recipe: Recipe,
    vae: AutoencoderKLTemporalDecoder,
    base: UNetSpatioTemporalConditionModel,
    num_frames: int,
    budget: Budget,
    ranks: Ranks,
) -> ExVideoUNet:
    """The base extended to `num_frames`: what ExVideo adds and the temporal blocks around it, the rest frozen."""
    torch.manual_seed(recipe.seed)
    unet = ExVideoUNet.from_svd(base, num_frames).to(ranks.device)
    net = cast(nn.Module, unet)
    net.requires_grad_(False)
    trained = list(unet.extension_parameters().values())
    for parameter in trained:
        parameter.requires_grad_(True)
    world = LatentWorld.encoded(vae, moving_scenes(recipe.seed + 2, recipe.num_scenes), ranks.device)
    loss_of = _denoising_loss(recipe, vae, unet, world, num_frames, recipe.long_batch, ranks)
    _run(net, trained, recipe.extension_lr, loss_of, budget, ranks)
    return unet.eval()


def _run(
    net: nn.Module, trained: list[nn.Parameter], lr: float, loss_of: Any, budget: Budget, ranks: Ranks
) -> None:
    net.train()
    fused = ranks.device.type == "cuda"
    optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.98), weight_decay=1e-3, fused=fused)
    training = Training({"net": net}, {"adamw": optimizer}, ranks, ema_decay=0.995)
    train(training, loss_of, Schedule(warmup=100, decay_from=0.6), budget)
    training.swap_average()
    net.eval()


def _half(ranks: Ranks) -> torch.autocast:
    return torch.autocast(ranks.device.type, torch.bfloat16, enabled=ranks.device.type == "cuda")


def _denoising_loss(
    recipe: Recipe,
    vae: AutoencoderKLTemporalDecoder,
    unet: UNetSpatioTemporalConditionModel,
    world: LatentWorld,
    num_frames: int,
    batch: int,
    ranks: Ranks,
) -> Any:
    """v-prediction over log-normal noise levels, conditioned on the first frame."""
    rng, device = random.Random(recipe.seed), ranks.device
    scale = vae.config.scaling_factor
    added = torch.tensor([[FPS - 1, MOTION_BUCKET, NOISE_AUG]], device=device).repeat(batch, 1)

    def loss_of(step: int, _elapsed: float) -> dict[str, Tensor]:
        generator = ranks.generator(recipe.seed, step)
        latents = world.clips(batch, num_frames, rng)
        picture = latents[:, :1].expand(-1, num_frames, -1, -1, -1)
        kept = (torch.rand(batch, generator=generator, device=device) >= recipe.drop).float()
        picture = picture * kept[:, None, None, None, None]
        # The image encoder of the tiny model gives zeros, and so does guidance.
        embedding = torch.zeros(batch, 1, EMBEDDING, device=device)
        clean = latents * scale
        log_sigma = 0.7 + 1.6 * torch.randn(batch, generator=generator, device=device)
        sigma = log_sigma.exp()[:, None, None, None, None]
        noise = torch.randn(clean.shape, generator=generator, device=device)
        noisy = clean + sigma * noise
        norm = (sigma.square() + 1).sqrt()
        target = velocity_target(clean, noisy, sigma)
        with _half(ranks):
            made = cast(Any, unet)(
                torch.cat([noisy / norm, picture], dim=2),
                0.25 * log_sigma,
                encoder_hidden_states=embedding,
                added_time_ids=added,
            ).sample.float()
        return {"loss": F.mse_loss(made, target)}

    return loss_of


def velocity_target(clean: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """What the denoiser shall say of `noisy`, the clean latents with noise of level `sigma` on them.

    Source: Karras et al., arXiv 2206.00364, equation 8, with SVD's c_skip = 1 / (sigma^2 + 1).
    """
    norm = (sigma.square() + 1).sqrt()
    return (noisy / norm.square() - clean) * norm / sigma


def save(folder: Path, unet: UNetSpatioTemporalConditionModel, vae: AutoencoderKLTemporalDecoder) -> None:
    """The tiny SVD as a folder that `vitascope generate --model` takes."""
    from vitascope.training.exvideo.parts import assemble

    assemble(vae, unet).save_pretrained(folder)
    shown = {"width": SIZE, "height": SIZE, "guidance_scale": 2.0, "num_inference_steps": 25}
    (folder / "vitascope.json").write_text(json.dumps(shown), encoding="utf-8")
