"""Three trainings: the tiny SVD's autoencoder, its denoiser at 25 frames, and the extension to more.

Source: noise levels, preconditioning and loss weight of SVD, arXiv 2311.15127, appendix D (after Karras et al.,
arXiv 2206.00364); what the extension trains and what stays frozen, arXiv 2406.14130 (see
`vitascope.models.exvideo`).
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
from vitascope.training.exvideo.graphed import quick
from vitascope.training.exvideo.parts import EMBEDDING, LATENT_CHANNELS, new_unet, new_vae
from vitascope.training.exvideo.world import SIZE, TURN, LatentWorld, drawn_once, moving_scenes
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train

FPS, MOTION_BUCKET, NOISE_AUG = 7, 127, 0.0
NOISE_MEAN, NOISE_STD = 0.0, 1.7
"""Of the logarithm of the noise levels: SVD's 0.7 and 1.6 are for latents of many more pixels."""

VAE_WINDOW = 8


@dataclass(frozen=True)
class Recipe:
    """How much of everything. Range: `drop` is the share of clips trained without their picture."""

    num_scenes: int = 4096
    vae_batch: int = 64
    batch: int = 12
    long_batch: int = 6
    lr: float = 6e-4
    extension_lr: float = 4e-4
    drop: float = 0.1
    seed: int = 5


class _RoundTrip(nn.Module):
    """Encoder and decoder in one. Shape: pixels (N, 3, H, W) and noise like their latents."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance of the latents, and the pixels again."""
        dtype = self.vae.quant_conv.weight.dtype
        posterior = cast(Any, self.vae.encode(pixels.to(dtype))).latent_dist
        latents = posterior.mean + posterior.std * noise.to(dtype)
        made = cast(Any, self.vae.decode(latents, num_frames=VAE_WINDOW)).sample
        return posterior.mean, posterior.logvar, made


class _Denoiser(nn.Module):
    """The U-Net with the image encoder's silence filled in."""

    def __init__(self, unet: UNetSpatioTemporalConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, added_time_ids: Tensor) -> Tensor:
        """What the U-Net predicts. Shape: sample (B, t, c, h, w)."""
        sample = sample.to(cast(Any, self.unet).conv_in.weight.dtype)
        silence = sample.new_zeros(len(sample), 1, EMBEDDING)
        return cast(Any, self.unet)(sample, timestep, silence, added_time_ids).sample


def train_vae(recipe: Recipe, budget: Budget, ranks: Ranks) -> AutoencoderKLTemporalDecoder:
    """An autoencoder of toy-world frames; its latents come out with about unit spread."""
    torch.manual_seed(recipe.seed)
    vae = new_vae().to(ranks.device)
    trip = _RoundTrip(vae).train()
    drawn = _frames(recipe, ranks)
    rng = random.Random(recipe.seed)
    windows = max(1, recipe.vae_batch // VAE_WINDOW)

    def some(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.tensor([rng.randrange(len(drawn)) for _ in range(windows)])
        first = torch.tensor([rng.randrange(TURN + 2 - VAE_WINDOW) for _ in rows])
        pixels = drawn[rows[:, None], first[:, None] + torch.arange(VAE_WINDOW)].flatten(0, 1)
        pixels = pixels.to(ranks.device).float() / 127.5 - 1
        shape = (len(pixels), LATENT_CHANNELS, SIZE // 4, SIZE // 4)
        generator = ranks.generator(recipe.seed, step)
        return pixels, torch.randn(shape, generator=generator, device=ranks.device)

    net = quick(trip, *some(0))

    def loss_of(step: int, _elapsed: float) -> dict[str, Tensor]:
        truth, noise = some(step)
        mean, logvar, made = (tensor.float() for tensor in net(truth, noise))
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        clips = truth.unflatten(0, (-1, VAE_WINDOW))
        moved = (clips - clips.mean(1, keepdim=True)).abs().amax(2, keepdim=True).flatten(0, 1)
        error = (made - truth) * (1 + 4 * moved.clamp_max(1))
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        pixel_loss = error.abs().mean() + error.square().mean() + 0.5 * edges
        return {
            "loss": pixel_loss + 1e-4 * kl,
            "psnr": 10 * torch.log10(4 / F.mse_loss(made.detach(), truth)),
        }

    _run(trip, 1e-3, loss_of, budget, ranks)
    spread = LatentWorld.encoded(vae, moving_scenes(recipe.seed + 1, 64), ranks.device).latents.float().std()
    vae.register_to_config(scaling_factor=round(1 / float(spread), 4))
    return vae.eval()


def _frames(recipe: Recipe, ranks: Ranks) -> Tensor:
    """Drawn passes as bytes, in main memory. Shape: (N, TURN + 1, 3, H, W)."""
    chosen = moving_scenes(recipe.seed, min(1024, recipe.num_scenes))
    parts = [drawn_once(chosen[i : i + 32], ranks.device) for i in range(0, len(chosen), 32)]
    return torch.cat([((part + 1) * 127.5).round().to(torch.uint8).cpu() for part in parts])


def scenery(recipe: Recipe, vae: AutoencoderKLTemporalDecoder, ranks: Ranks) -> LatentWorld:
    """What both denoisers are trained on."""
    return LatentWorld.encoded(vae, moving_scenes(recipe.seed + 2, recipe.num_scenes), ranks.device)


def train_base(
    recipe: Recipe, scale: float, world: LatentWorld, budget: Budget, ranks: Ranks
) -> UNetSpatioTemporalConditionModel:
    """The tiny SVD: a denoiser of 25 frames. `scale` is the autoencoder's."""
    torch.manual_seed(recipe.seed)
    unet = new_unet().to(ranks.device)
    _train_denoiser(recipe, scale, unet, world, recipe.batch, recipe.lr, budget, ranks)
    return unet.eval()


def train_extension(
    recipe: Recipe,
    scale: float,
    base: UNetSpatioTemporalConditionModel,
    world: LatentWorld,
    num_frames: int,
    budget: Budget,
    ranks: Ranks,
) -> ExVideoUNet:
    """The base extended to `num_frames`: what ExVideo adds and the temporal blocks around it, the rest frozen."""
    torch.manual_seed(recipe.seed)
    unet = ExVideoUNet.from_svd(base, num_frames).to(ranks.device)
    cast(nn.Module, unet).requires_grad_(False)
    for parameter in unet.extension_parameters().values():
        parameter.requires_grad_(True)
    _train_denoiser(recipe, scale, unet, world, recipe.long_batch, recipe.extension_lr, budget, ranks)
    return unet.eval()


def _run(net: nn.Module, lr: float, loss_of: Any, budget: Budget, ranks: Ranks) -> None:
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    fused = ranks.device.type == "cuda"
    optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.98), weight_decay=1e-3, fused=fused)
    training = Training({"net": net}, {"adamw": optimizer}, ranks, ema_decay=0.999, trained_only=True)
    train(training, loss_of, Schedule(warmup=100, decay_from=0.5), budget)
    training.swap_average()


def _train_denoiser(
    recipe: Recipe,
    scale: float,
    unet: UNetSpatioTemporalConditionModel,
    world: LatentWorld,
    batch: int,
    lr: float,
    budget: Budget,
    ranks: Ranks,
) -> None:
    """v-prediction over log-normal noise levels, conditioned on the first frame."""
    rng, device = random.Random(recipe.seed), ranks.device
    num_frames = unet.config["num_frames"]
    added = torch.tensor([[FPS - 1, MOTION_BUCKET, NOISE_AUG]], device=device).repeat(batch, 1)
    denoiser = _Denoiser(unet).train()

    def some(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A batch: clean latents, noisy latents, their noise levels, pictures."""
        generator = ranks.generator(recipe.seed, step)
        latents = world.clips(batch, num_frames, rng)
        kept = torch.rand(batch, 1, 1, 1, 1, generator=generator, device=device) >= recipe.drop
        picture = latents[:, :1].expand_as(latents) * kept
        clean = latents * scale
        lot = torch.randn(batch, 1, 1, 1, 1, generator=generator, device=device)
        sigma = (NOISE_MEAN + NOISE_STD * lot).exp()
        noise = torch.randn(clean.shape, generator=generator, device=device)
        return clean, clean + sigma * noise, sigma, picture

    def asked(noisy: Tensor, sigma: Tensor, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the denoiser is given, scaled and timed as SVD's scheduler does."""
        norm = (sigma.square() + 1).sqrt()
        return torch.cat([noisy / norm, picture], dim=2), 0.25 * sigma.log().flatten(), added

    net = quick(denoiser, *asked(*some(0)[1:]))

    def loss_of(step: int, _elapsed: float) -> dict[str, Tensor]:
        clean, noisy, sigma, picture = some(step)
        made = net(*asked(noisy, sigma, picture)).float()
        return {"loss": F.mse_loss(made, velocity_target(clean, noisy, sigma))}

    _run(denoiser, lr, loss_of, budget, ranks)


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
    shown = {"width": SIZE, "height": SIZE, "guidance_scale": 1.0, "num_inference_steps": 25}
    (folder / "vitascope.json").write_text(json.dumps(shown), encoding="utf-8")
