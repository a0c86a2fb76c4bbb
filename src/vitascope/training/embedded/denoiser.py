"""Train Sprout's denoiser together with its text encoder."""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import T5EncoderModel

from vitascope.toyworld.renderer import PERSON
from vitascope.toyworld.scenes import COLOURS, Mixture
from vitascope.training.embedded.architecture import new_scheduler, new_text_encoder, new_transformer
from vitascope.training.embedded.data import Source
from vitascope.training.embedded.fast_vae import speed_up
from vitascope.training.embedded.latent_pool import LatentPool, Sample, Window
from vitascope.training.embedded.tokenizer import new_tokenizer
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train
from vitascope.training.muon import Muon, split_parameters

logger = logging.getLogger(__name__)

_OUTSIDE = ("norm", "time_embedding", "patch_embed", "proj_out", "shared", "relative_attention", "head")


@dataclass(frozen=True)
class DenoiserRecipe:
    """How the denoiser is trained.

    `batch` is that of one process. `hint` weighs the auxiliary task of naming what is where from the
    middle of the network. `final` lets the learning rate fall to zero over the last part of the run.
    `from_picture` trains the image-to-video network: the text encoder stays as it is, the first latent frame
    weighs `first_frame` times as much, and a share `barred` of the clips has a letterbox's bars.
    """

    size: int = 128
    num_layers: int = 8
    num_heads: int = 6
    batch: int = 256
    pool_chunks: int = 80
    chunk: int = 256
    refresh_every: int = 80
    mixture: Mixture = field(default_factory=Mixture)
    lr: float = 2e-3
    warmup: int = 150
    hint: float = 0.1
    hint_after: int = 4
    seed: int = 1
    final: bool = False
    from_picture: bool = False
    first_frame: float = 3.0
    barred: float = 0.15


class SceneHead(nn.Module):
    """Names the kind and the colour of what a visual token shows; used in training only.

    Source: the idea of supervising a denoiser's middle features is REPA (Yu et al., arXiv 2410.06940);
    here the renderer's truth takes the place of a pretrained encoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, PERSON + 2 + len(COLOURS))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: (B, N, D) -> logits of kind (B, N, PERSON + 2), the first meaning nothing, and of colour."""
        logits = self.out(F.silu(self.hidden(self.norm(tokens))))
        return logits[..., : PERSON + 2], logits[..., PERSON + 2 :]


def forward_with_features(
    model: CogVideoXTransformer3DModel, latents: Tensor, text: Tensor, timestep: Tensor, after: int
) -> tuple[Tensor, Tensor]:
    """The transformer's output, and its visual tokens after some blocks.

    Source: diffusers 0.42.1 `models/transformers/cogvideox_transformer_3d.py` forward (Apache-2.0), for a model without
    rotary embeddings; equality is tested.
    """
    batch, frames, _, height, width = latents.shape
    emb = model.time_embedding(model.time_proj(timestep).to(latents.dtype))
    hidden = model.patch_embed(text, latents)
    text, hidden = hidden[:, : text.shape[1]], hidden[:, text.shape[1] :]
    features = hidden
    for i, block in enumerate(model.transformer_blocks):
        hidden, text = block(hidden, text, emb)
        if i + 1 == after:
            features = hidden
    out = model.proj_out(model.norm_out(model.norm_final(hidden), temb=emb))
    p = model.config.patch_size
    out = out.reshape(batch, frames, height // p, width // p, -1, p, p)
    return out.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4), features


def _initialise(model: CogVideoXTransformer3DModel) -> None:
    """Start as a near identity: no modulation, gates slightly open, zero output."""
    for block in model.transformer_blocks:
        for norm in (block.norm1, block.norm2):
            nn.init.zeros_(norm.linear.weight)
            bias = torch.zeros(6, norm.linear.out_features // 6)
            bias[[2, 5]] = 0.2
            norm.linear.bias.data.copy_(bias.flatten())
    for linear in (model.norm_out.linear, model.proj_out):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)


def hint_loss(logits: tuple[Tensor, Tensor], sample: Sample) -> Tensor:
    """Cross-entropy of kind and colour per token, against the share that each actor has in it."""
    cover = F.avg_pool2d(sample.cover.flatten(0, 2)[:, None], 2)
    cover = cover.view(*sample.cover.shape[:2], -1)
    total = cover.sum(1)
    kinds = F.one_hot(sample.labels[..., 0].clamp_min(0) + 1, PERSON + 2).float()
    colours = F.one_hot(sample.labels[..., 1].clamp_min(0), len(COLOURS)).float()
    kind = torch.einsum("bsn,bsk->bnk", cover, kinds)
    kind[..., 0] += (1 - total).clamp_min(0)
    colour = torch.einsum("bsn,bsk->bnk", cover, colours)
    kind_loss = -(kind * logits[0].float().log_softmax(-1)).sum(-1) * (0.25 + total)
    colour_loss = -(colour * logits[1].float().log_softmax(-1)).sum(-1)
    return kind_loss.mean() + colour_loss.mean()


class Denoising:
    """The models in training and their loss."""

    def __init__(self, recipe: DenoiserRecipe, ranks: Ranks) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.ranks = recipe, ranks
        self.transformer = new_transformer(
            recipe.num_layers, recipe.num_heads, recipe.size, from_picture=recipe.from_picture
        ).to(ranks.device)
        _initialise(self.transformer)
        self.text_encoder: T5EncoderModel = new_text_encoder(new_tokenizer())
        nn.Module.to(self.text_encoder, ranks.device)
        self.text_encoder.requires_grad_(not recipe.from_picture)
        self.head = SceneHead(64 * recipe.num_heads).to(ranks.device)
        self.alphas = new_scheduler().alphas_cumprod.float().to(ranks.device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer, "text_encoder": self.text_encoder, "head": self.head}

    def compile(self) -> None:
        """Fuse each block; one compilation serves all."""
        torch._dynamo.config.cache_size_limit = 64
        for block in self.transformer.transformer_blocks:
            block.compile()

    def loss(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted error of the velocity, and the hint."""
        clean, device = sample.latents, self.ranks.device
        count = len(clean)
        spread = (
            torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)
        ) / count
        timestep = (spread * len(self.alphas)).long().clamp_max(len(self.alphas) - 1)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        alpha = self.alphas[timestep].view(-1, 1, 1, 1, 1)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        if sample.picture is not None:
            noisy = torch.cat([noisy, F.pad(sample.picture, (0,) * 7 + (clean.shape[1] - 1,))], dim=2)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            text = self.text_encoder(sample.tokens).last_hidden_state
            made, features = forward_with_features(
                self.transformer, noisy, text, timestep, self.recipe.hint_after
            )
            logits = self.head(features)
        weight = 1 + 4 * sample.cover.sum(1).clamp_max(1)[:, :, None]
        if sample.picture is not None:
            weight = torch.cat([weight[:, :1] * self.recipe.first_frame, weight[:, 1:]], dim=1)
        error = (weight / weight.mean() * (made.float() - velocity).square()).mean(dim=(1, 2, 3, 4))
        hint = hint_loss(logits, sample)
        quarters = {f"q{i + 1}": error[i * count // 4 : (i + 1) * count // 4].mean() for i in range(4)}
        return {"loss": error.mean() + self.recipe.hint * hint, "v": error.mean(), "hint": hint, **quarters}


def frozen_vae(folder: Path, device: torch.device) -> AutoencoderKLCogVideoX:
    """The trained autoencoder, for encoding only."""
    vae = AutoencoderKLCogVideoX.from_pretrained(folder, torch_dtype=torch.float32)
    return speed_up(vae.to(device).eval().requires_grad_(False))


def _optimizers(work: Denoising) -> dict[str, torch.optim.Optimizer]:
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in work.modules.values():
        inner, outer = split_parameters(module, _OUTSIDE)
        matrices, others = matrices + inner, others + outer
    lr, fused = work.recipe.lr, work.ranks.device.type == "cuda"
    return {
        "muon": Muon(matrices, lr=lr, weight_decay=0.02),
        "adamw": torch.optim.AdamW(others, lr=lr / 2, betas=(0.9, 0.98), weight_decay=0.0, fused=fused),
    }


def train_denoiser(
    recipe: DenoiserRecipe, budget: Budget, ranks: Ranks, workers: ProcessPoolExecutor | None, out: Path
) -> Denoising:
    """Train, or go on from `out/denoiser.pt`, or start from averaged weights `out/denoiser.safetensors`.

    The budget includes the filling of the pool.
    """
    begun = time.monotonic()
    work = Denoising(recipe, ranks)
    if not (out / "denoiser.pt").exists() and (out / "denoiser.safetensors").exists():
        load_average(work, out / "denoiser.safetensors")
    training = Training(work.modules, _optimizers(work), ranks, ema_decay=0.998)
    if (out / "denoiser.pt").exists():
        training.load(out / "denoiser.pt")
    vae = frozen_vae(out / "vae", ranks.device)
    source = Source(recipe.seed * 64 + ranks.rank, recipe.chunk, mixture=recipe.mixture)
    window = Window(recipe.pool_chunks, recipe.refresh_every, training.step)
    pool = LatentPool(vae, source, window, workers, ranks, _barred(recipe))
    if ranks.rank == 0:
        filled = {"clips": pool.filled * pool.chunk, "seconds": round(time.monotonic() - begun)}
        logger.info(json.dumps(filled | {"step": training.step}))
    if ranks.device.type == "cuda":
        work.compile()

    def loss_of(step: int, _elapsed: float) -> dict[str, Tensor]:
        generator = ranks.generator(recipe.seed, step)
        pool.advance(step)
        return work.loss(pool.sample(recipe.batch, generator, empty=0.1, unknown=0.1), generator)

    left = replace(budget, seconds=budget.seconds - (time.monotonic() - begun))
    train(
        training, loss_of, Schedule(recipe.warmup, 0.55 if recipe.final else 1.0), left, out / "denoiser.pt"
    )
    training.swap_average()
    if ranks.rank == 0:
        logger.info(json.dumps({"held_out": held_out_loss(work, vae), "step": training.step}))
    return work


def _barred(recipe: DenoiserRecipe) -> float | None:
    return recipe.barred if recipe.from_picture else None


def held_out_loss(work: Denoising, vae: AutoencoderKLCogVideoX) -> dict[str, float]:
    """Loss on scenes that training never sees; weights are compared by it, never by the measuring checkers."""
    recipe, ranks = work.recipe, work.ranks
    held = Source(77, recipe.batch, "held_out", recipe.mixture)
    unseen = LatentPool(vae, held, Window(1), None, ranks, _barred(recipe))
    generator = torch.Generator(ranks.device).manual_seed(5)
    losses = [work.loss(unseen.sample(recipe.batch, generator, 0.0, 0.0), generator) for _ in range(2)]
    return {k: round(float(torch.stack([x[k].detach() for x in losses]).mean()), 5) for k in losses[0]}


def averaged(work: Denoising) -> dict[str, Tensor]:
    """Weights to keep, in half precision, named `module.parameter`."""
    return {
        f"{m}.{n}": v.detach().to("cpu", torch.float16).contiguous()
        for m, module in work.modules.items()
        for n, v in module.named_parameters()
    }


def load_average(work: Denoising, path: Path) -> None:
    """Put kept weights back.

    A file made from a published folder has none for the head, which then starts anew; one made from text
    gives an image-to-video network everything but what reads the picture, which starts at zero.
    """
    kept = load_file(path)
    for m, module in work.modules.items():
        for n, p in module.named_parameters():
            if m != "head" or f"{m}.{n}" in kept:
                value = kept[f"{m}.{n}"]
                if n == "patch_embed.proj.weight" and value.shape[1] < p.shape[1]:
                    value = F.pad(value, (0, 0, 0, 0, 0, p.shape[1] - value.shape[1]))
                p.data.copy_(value)
