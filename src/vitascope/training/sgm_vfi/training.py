"""Train a small SGM-VFI from nothing on synthetic motion, by the clock, resuming where it stopped."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from vitascope.atomic import replacing
from vitascope.errors import InvalidMedia, RunError
from vitascope.models.sgm_vfi.config import COMPACT, SGMVFIConfig
from vitascope.models.sgm_vfi.network import SGMVFI
from vitascope.training.loop import Ranks
from vitascope.training.sgm_vfi.filmed_motion import FilmedMotion, clips_in, textures_from
from vitascope.training.sgm_vfi.losses import training_loss
from vitascope.training.sgm_vfi.mixture import Mixture
from vitascope.training.sgm_vfi.synthetic_motion import TEXTURE_SIDE, SyntheticMotion, Triplets, texture_bank
from vitascope.training.sgm_vfi.widening import load_narrower

CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "model.safetensors", "log.jsonl"
HELD_OUT_SEEDS = range(2**40, 2**40 + 4)  # training counts its seeds up from 0
SAVE_EVERY_S = 60.0
OUTPUTS = (
    "synthesis.out",
    "matching.fusion.weights.2",
    "matching.refinement.tail.0",
    "stages.0.tail.0",
    "stages.1.tail.0",
)
LOG_EVERY = 50
SQUARES_A_CLIP = 12


class Recipe(BaseModel):
    """How a network of ours is trained.

    Units: `largest_motion` in pixels between the outer frames; `minutes` of this run. With `finish` the
    learning rate falls to zero over the last `decay_share` of the run. `batch_size` synthetic triplets and
    `filmed_batch_size` filmed ones (if clips are given) go to each of the GPUs. `compile` fuses kernels, which
    takes a minute or two before the first step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: SGMVFIConfig = COMPACT
    minutes: float = Field(9, gt=0)
    max_steps: int | None = Field(None, ge=1)
    batch_size: int = Field(24, ge=1)
    filmed_batch_size: int = Field(12, ge=1)
    size: int = Field(256, ge=32, multiple_of=32)
    largest_motion: float = Field(128, gt=1)
    learning_rate: float = Field(6e-4, gt=0)
    warmup_steps: int = Field(300, ge=0)
    decay_share: float = Field(0.3, gt=0, le=1)
    finish: bool = False
    ema_decay: float = Field(0.998, ge=0, lt=1)
    num_fractals: int = Field(96, ge=8)
    compile: bool = False
    seed: int = Field(0, ge=0)


LossOf = Callable[[SGMVFI, Triplets], tuple[torch.Tensor, dict[str, torch.Tensor]]]


class Lessons(Protocol):
    """Where batches come from."""

    def batch(self, seed: int) -> Triplets:
        """The batch of a number."""


@dataclass
class Trained:
    """Everything that training changes; what a checkpoint holds."""

    network: SGMVFI
    average: SGMVFI
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """A checkpoint that `weights_only` loading can read."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def initialise(network: SGMVFI) -> None:
    """Weights to start from: variance kept through PReLUs, first flow and residual near zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=0.25, mode="fan_in", nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    for output in OUTPUTS:
        nn.init.normal_(network.get_parameter(f"{output}.weight"), std=1e-3)


def start(recipe: Recipe, out: Path, device: torch.device) -> Trained:
    """A fresh network, or the one that `out` holds: its checkpoint, else its finished weights.

    Finished weights may be those of a narrower network.
    Raises: InvalidMedia if what is there is of another size than the recipe's network.
    """
    torch.manual_seed(recipe.seed)
    network = SGMVFI(recipe.network)
    initialise(network)
    network.to(device)
    if device.type == "cuda":  # a sixth faster there
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    trained = Trained(network, average, optimizer)
    try:
        if (out / CHECKPOINT).is_file():
            trained.restore(torch.load(out / CHECKPOINT, map_location=device, weights_only=True))
        elif (out / WEIGHTS).is_file():
            tensors = load_file(out / WEIGHTS, device=str(device))
            for one in (network, average):
                load_narrower(one, tensors)
    except RuntimeError as error:
        raise InvalidMedia(
            f"what {str(out)!r} holds does not fit the network to be trained; choose another folder"
        ) from error
    return trained


def learning_rate(recipe: Recipe, step: int, share_done: float) -> float:
    """Warm up, stay, and, if the run shall finish, fall along a straight line. Range: share_done in 0..1."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    if recipe.finish:
        rate *= min(1.0, (1 - share_done) / recipe.decay_share)
    return rate


def lessons(recipe: Recipe, photos: list[Path], clips: Path | None, device: torch.device) -> Mixture:
    """What a run learns from: layers of photographs, fractals and clips' frames, and the clips themselves.

    Raises: NotFound, InvalidMedia.
    """
    textures = texture_bank(photos, recipe.seed, device, num_fractals=recipe.num_fractals)
    filmed = None
    if clips is not None:
        read = clips_in(clips, device)
        filmed = FilmedMotion(read, recipe.size, recipe.filmed_batch_size)
        textures = torch.cat((textures, textures_from(read, TEXTURE_SIDE, SQUARES_A_CLIP, recipe.seed)))
    synthetic = SyntheticMotion(textures, recipe.size, recipe.batch_size, recipe.largest_motion)
    return Mixture(synthetic, filmed)


def train(
    recipe: Recipe,
    photos: list[Path],
    out: Path,
    ranks: Ranks,
    tell: Callable[[str], None],
    clips: Path | None = None,
) -> Trained:
    """Train until the time is over; `out` gets a checkpoint every minute, a log, and the averaged weights.

    Batches are numbered, and each is made from its number, so a run that was interrupted and goes on sees
    the same data as one that was not. Under `torchrun` every process trains on its own GPU and batches, and
    they average their gradients.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    trained = start(recipe, out, ranks.device)
    data = lessons(recipe, photos, clips, ranks.device)
    if ranks.rank == 0:
        num_parameters = sum(p.numel() for p in trained.network.parameters())
        tell(
            f"{len(data.synthetic.textures)} textures, {num_parameters:,} parameters, {ranks.world} processes"
        )
    loss_of = torch.compile(training_loss, dynamic=False) if recipe.compile else training_loss
    first_step, seconds_before, saved = trained.step, trained.seconds, began
    while True:
        spent = time.monotonic() - began
        share_done = spent / (recipe.minutes * 60)
        if recipe.max_steps is not None:
            share_done = max(share_done, (trained.step - first_step) / recipe.max_steps)
        share_done = ranks.first_of(share_done)
        if share_done >= 1:
            break
        rate = learning_rate(recipe, trained.step, share_done)
        told = training_step(trained, data, rate, recipe.ema_decay, ranks, loss_of)
        trained.seconds = seconds_before + time.monotonic() - began
        if ranks.rank != 0:
            continue
        if trained.step % LOG_EVERY == 0 or trained.step == first_step + 1:
            _log(out, trained, told, tell)
        if time.monotonic() - saved > SAVE_EVERY_S:
            save(trained, out)
            saved = time.monotonic()
    if ranks.rank == 0:
        save(trained, out)
        _log(out, trained, {"held_out_psnr": held_out_psnr(trained.average, data)}, tell)
    return trained


def training_step(
    trained: Trained,
    data: Lessons,
    rate: float,
    ema_decay: float,
    ranks: Ranks,
    loss_of: LossOf = training_loss,
) -> dict[str, Any]:
    """Learn from the next batch; gives what to write in the log."""
    for group in trained.optimizer.param_groups:
        group["lr"] = rate
    trained.network.train()
    number = trained.step * ranks.world + ranks.rank
    loss, told = loss_of(trained.network, data.batch(number))
    trained.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average_gradients(list(trained.network.parameters()))
    nn.utils.clip_grad_norm_(trained.network.parameters(), 1.0)
    trained.optimizer.step()
    trained.step += 1
    decay = min(ema_decay, trained.step / (trained.step + 10))
    with torch.no_grad():
        pairs = zip(trained.average.parameters(), trained.network.parameters(), strict=True)
        averages, currents = (list(side) for side in zip(*pairs, strict=True))
        torch._foreach_lerp_(averages, currents, 1 - decay)
    return told | {"learning_rate": rate}


@torch.inference_mode()
def held_out_psnr(network: SGMVFI, data: Lessons) -> float:
    """Mean PSNR on triplets that training never makes. Units: dB."""
    network.eval()
    scores = []
    for seed in HELD_OUT_SEEDS:
        triplets = data.batch(seed)
        error = (network(triplets.first, triplets.second) - triplets.middle).square().mean((1, 2, 3))
        scores += (-10 * error.clamp(min=1e-10).log10()).tolist()
    return math.fsum(scores) / len(scores)


def save(trained: Trained, out: Path) -> None:
    """Write the checkpoint, and the averaged weights in half precision, each in one move.

    Raises: RunError if a weight is not a finite number any more; what was written before stays.
    """
    broken = [name for name, weight in trained.network.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise RunError(
            f"training broke down before step {trained.step}: {broken[0]!r} is not finite; "
            "go on from the last checkpoint with a lower learning_rate"
        )
    with replacing(out / CHECKPOINT) as path:
        torch.save(trained.state(), path)
    weights = {key: tensor.half().contiguous() for key, tensor in trained.average.state_dict().items()}
    with replacing(out / WEIGHTS) as path:
        save_file(weights, path, metadata={"format": "pt", "steps": str(trained.step)})


def _log(out: Path, trained: Trained, told: dict[str, Any], tell: Callable[[str], None]) -> None:
    numbers = {name: float(value) for name, value in told.items()}
    line = {"step": trained.step, "seconds": round(trained.seconds, 1), **numbers}
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    tell(" ".join(f"{name} {value:.4g}" for name, value in line.items()))
