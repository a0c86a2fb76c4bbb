"""Train Sprout's autoencoder on crops and whole clips of the toy world."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor, nn

from vitascope.toyworld.scenes import Mixture
from vitascope.training.embedded.architecture import new_vae
from vitascope.training.embedded.data import Source, as_input, clips_of
from vitascope.training.embedded.fast_vae import speed_up
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train
from vitascope.training.muon import Muon, split_parameters

LEAST_LOG_VARIANCE = -30.0  # what diffusers clamps to


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoder is trained.

    Range: `whole_from` is the share of the time after which whole frames replace crops. With
    `decoder_only` training goes on from a finished autoencoder whose latents stay what they are.
    """

    size: int = 128
    crop: int = 64
    crop_batch: int = 40
    whole_batch: int = 10
    whole_from: float = 0.72
    pool: int = 3072
    refresh_every: int = 12
    lr: float = 1.5e-3
    seed: int = 11
    decoder_only: bool = False


class ClipPool:
    """Clips as bytes on the device, a few of them exchanged for fresh ones now and then."""

    def __init__(self, recipe: AutoencoderRecipe, ranks: Ranks, workers: ProcessPoolExecutor | None) -> None:
        chunk = min(128, recipe.pool)
        source = Source(recipe.seed * 64 + ranks.rank, chunk, mixture=Mixture(0.3, 0.1, 0.15))
        self.source = source.batches(max(1, recipe.pool // chunk) * 3, workers)
        self.size, self.chunk, self.device = recipe.size, chunk, ranks.device
        shape = (recipe.pool // chunk * chunk, 17, recipe.size, recipe.size, 3)
        self.clips = torch.empty(shape, dtype=torch.uint8, device=ranks.device)
        self.next = 0
        for _ in range(len(self.clips) // chunk):
            self.renew()

    def renew(self) -> None:
        """Replace the oldest clips; once the source is dry the pool stays as it is."""
        batch = next(self.source, None)
        if batch is not None:
            clips, _ = clips_of(batch, self.device, self.size, slice(None))
            self.clips[self.next : self.next + self.chunk] = clips
            self.next = (self.next + self.chunk) % len(self.clips)

    def crops(self, count: int, size: int, frames: int, generator: torch.Generator) -> Tensor:
        """Random windows, half of them mirrored. Shape: (B, 3, T, size, size)."""
        device = self.device
        rows = torch.randint(len(self.clips), (count,), generator=generator, device=device)
        span = self.size - size
        offset = torch.randint(span // 8 + 1, (count, 2), generator=generator, device=device) * 8
        first = torch.randint(17 - frames + 1, (count,), generator=generator, device=device)
        mirrored = torch.rand(count, generator=generator, device=device) < 0.5
        steps = torch.arange(size, device=device)
        across = torch.where(mirrored[:, None], size - 1 - steps, steps) + offset[:, 1:]
        down = steps + offset[:, :1]
        when = first[:, None] + torch.arange(frames, device=device)
        picked = self.clips[
            rows[:, None, None, None],
            when[:, :, None, None],
            down[:, None, :, None],
            across[:, None, None, :],
        ]
        return as_input(picked)


def reconstruction_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Absolute error of pixels, edges and changes, heavier where something moves.

    Shape: both (B, 3, T, H, W) in -1..1.
    """
    moving = (truth - truth.mean(2, keepdim=True)).abs().amax(1, keepdim=True).clamp_max(1)
    error = made - truth
    weight = 1 + 4 * moving
    edges = (error.diff(dim=-1).abs() * weight[..., 1:]).mean() + (
        error.diff(dim=-2).abs() * weight[..., 1:, :]
    ).mean()
    loss = (weight * (error.abs() + error.square())).mean() + 0.5 * edges
    if truth.shape[2] > 1:
        loss = loss + 0.5 * (error.diff(dim=2).abs() * weight[:, :, 1:]).mean()
    return loss


def train_autoencoder(
    recipe: AutoencoderRecipe, budget: Budget, ranks: Ranks, workers: ProcessPoolExecutor | None, state: Path
) -> AutoencoderKLCogVideoX:
    """Train from scratch or on from a saved state; the latents come out with unit spread."""
    torch.manual_seed(recipe.seed)
    vae = new_vae(recipe.size)
    if recipe.decoder_only:
        vae = AutoencoderKLCogVideoX.from_pretrained(state.parent / "vae", torch_dtype=torch.float32)
        vae.encoder.requires_grad_(False)
    vae = speed_up(vae.to(ranks.device))
    outside = ("conv_in", "encoder.conv_out", "decoder.conv_out")
    net = cast(nn.Module, vae)
    matrices, others = split_parameters(net, outside)
    training = Training(
        {"vae": net},
        {
            "muon": Muon(matrices, lr=recipe.lr),
            "adamw": torch.optim.AdamW(
                others, lr=recipe.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=ranks.device.type == "cuda"
            ),
        },
        ranks,
        ema_decay=0.995,
    )
    if state.exists():
        training.load(state)
    pool = ClipPool(recipe, ranks, workers)

    def loss_of(step: int, elapsed: float) -> dict[str, Tensor]:
        generator = ranks.generator(recipe.seed, step)
        if step % recipe.refresh_every == recipe.refresh_every - 1:
            pool.renew()
        whole = elapsed > recipe.whole_from
        if step % 8 == 7:
            truth = pool.crops(4 * recipe.whole_batch, recipe.size, 1, generator)
        elif whole:
            truth = pool.crops(recipe.whole_batch, recipe.size, 17, generator)
        else:
            truth = pool.crops(recipe.crop_batch, recipe.crop, 17, generator)
        return _losses(vae, truth, generator, train_encoder=not recipe.decoder_only)

    train(training, loss_of, Schedule(warmup=60, decay_from=0.6), budget, state)
    training.swap_average()
    if not recipe.decoder_only:
        unit_spread(vae, as_input(pool.clips[:64]))
    certain(vae)
    return vae


def _losses(
    vae: AutoencoderKLCogVideoX, truth: Tensor, generator: torch.Generator, *, train_encoder: bool
) -> dict[str, Tensor]:
    """Losses of one batch, decoded from its latents with a little noise. Shape: truth (B, 3, T, H, W) in -1..1."""
    device = truth.device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        with torch.set_grad_enabled(train_encoder):
            posterior = vae.encode(truth.to(memory_format=torch.channels_last_3d)).latent_dist
        mean = posterior.mean.float()
        spread = mean.detach().std(dim=(0, 2, 3, 4), keepdim=True)
        level = 0.1 * torch.rand(len(mean), 1, 1, 1, 1, generator=generator, device=device)
        noise = torch.randn(mean.shape, generator=generator, device=device)
        made = vae.decode(mean + level * spread * noise).sample.float()
    small = 0.5 * mean.square().mean()
    centre = mean.mean(dim=(0, 2, 3, 4)).square().mean()
    pixels = reconstruction_loss(made, truth)
    with torch.no_grad():
        psnr = 10 * torch.log10(4 / F.mse_loss(made, truth))
    return {
        "loss": pixels + 1e-5 * small + 0.05 * centre,
        "pixels": pixels,
        "psnr": psnr,
        "spread": spread.mean(),
    }


@torch.no_grad()
def unit_spread(vae: AutoencoderKLCogVideoX, clips: Tensor) -> None:
    """Scale every latent channel to standard deviation 1 inside the weights, which changes no picture."""
    half = clips.device.type == "cuda"
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=half):
        latents = torch.cat([vae.encode(c).latent_dist.mean.float() for c in clips.split(16)])
    std = latents.std(dim=(0, 2, 3, 4))
    last = vae.encoder.conv_out.conv
    last.weight[: len(std)] /= std.view(-1, 1, 1, 1, 1)
    last.bias[: len(std)] /= std
    modulations = [m.conv for n, m in vae.decoder.named_modules() if n.endswith(("conv_y", "conv_b"))]
    for conv in (vae.decoder.conv_in.conv, *modulations):
        conv.weight *= std.view(1, -1, 1, 1, 1)


@torch.no_grad()
def certain(vae: AutoencoderKLCogVideoX) -> None:
    """Let the encoder give every latent without spread, inside the weights.

    diffusers' pipelines draw the latents of a given picture or clip from the posterior. Training decodes means
    with noise of its own choice, so the spread that the encoder would state has learnt nothing: left as it is,
    it would bury the picture under noise.
    """
    last = vae.encoder.conv_out.conv
    half = last.out_channels // 2
    last.weight[half:] = 0
    last.bias[half:] = LEAST_LOG_VARIANCE


@torch.no_grad()
def measure_psnr(vae: AutoencoderKLCogVideoX, clips: Tensor) -> float:
    """Mean peak signal-to-noise ratio of reconstructions. Shape: byte clips (B, T, H, W, 3). Units: dB."""
    total = []
    for part in clips.split(8):
        truth = as_input(part)
        with torch.autocast(part.device.type, torch.bfloat16, enabled=part.device.type == "cuda"):
            made = vae.decode(vae.encode(truth).latent_dist.mean).sample.float().clamp(-1, 1)
        error = (made - truth).square().mean(dim=(1, 2, 3, 4))
        total.append(10 * torch.log10(4 / error))
    return float(torch.cat(total).mean())
