"""The training loop that every recipe shares: clock, schedule, averaging, checkpoints, several GPUs."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is, and its device."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls, kind: str | None = None) -> Ranks:
        """Join the group that `torchrun` started, or stand alone; on GPUs if there are any, or as `kind` says."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        kind = kind or ("cuda" if torch.cuda.is_available() else "cpu")
        device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(device)
        if world > 1 and not dist.is_initialized():
            # Numbers on the CPU travel by gloo, without waiting for the GPUs.
            dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo")
        return cls(rank, world, device)

    def average_gradients(self, params: list[nn.Parameter]) -> None:
        """Mean of the gradients over all processes, in one message."""
        if self.world == 1:
            return
        grads = [p.grad for p in params if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads])
        dist.all_reduce(flat)
        flat /= self.world
        pieces = flat.split([g.numel() for g in grads])
        torch._foreach_copy_(grads, [piece.view_as(g) for piece, g in zip(pieces, grads, strict=True)])

    def first_of(self, value: float) -> float:
        """The first process's number: with its clock all stop after the same step, at the same learning rate."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told)

    def generator(self, *numbers: int) -> torch.Generator:
        """Random numbers that depend only on the numbers given and the rank, so that a resumed run repeats them."""
        seed = self.rank
        for number in numbers:
            seed = (seed * 1_000_003 + number) % (2**63 - 1)
        return torch.Generator(self.device).manual_seed(seed)


@dataclass(frozen=True)
class Schedule:
    """Learning rate over a run: linear warm-up, constant, and a linear fall in the last part of the clock.

    Units: `warmup` in steps; `decay_from` as a share of the run's time, 1 for no fall.
    """

    warmup: int = 150
    decay_from: float = 1.0

    def factor(self, step: int, elapsed: float) -> float:
        """What the learning rates are multiplied with. Range: `elapsed` 0..1 of the run's time."""
        rising = min(1.0, (step + 1) / max(1, self.warmup))
        if elapsed <= self.decay_from:
            return rising
        return rising * max(0.02, (1 - elapsed) / (1 - self.decay_from))


@dataclass(frozen=True)
class Budget:
    """How long to train: by the clock, by steps, or whichever ends first."""

    seconds: float = float("inf")
    steps: int = 2**31
    save_every: float = 120.0
    log_every: float = 5.0


@dataclass
class Training:
    """Everything that changes while training, and how it is saved."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    ranks: Ranks
    ema_decay: float = 0.998
    step: int = 0
    log: list[dict[str, float]] = field(default_factory=list)
    ema: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.ema = {k: v.detach().clone() for k, v in self._named().items()}
        self.base_lr = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}

    def _named(self) -> dict[str, nn.Parameter]:
        return {f"{m}.{n}": p for m, module in self.modules.items() for n, p in module.named_parameters()}

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self._named().values() if p.requires_grad]

    def average(self) -> None:
        """Move the running average of the weights on by one step."""
        decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.values()), [p.detach() for p in self._named().values()], 1 - decay)

    def swap_average(self) -> None:
        """Exchange the weights with their running average; call again to undo."""
        for name, p in self._named().items():
            p.data, self.ema[name] = self.ema[name], p.data

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        state = {
            "modules": {n: m.state_dict() for n, m in self.modules.items()},
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            "ema": self.ema,
            "step": self.step,
            "log": self.log,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        state: dict[str, Any] = torch.load(path, map_location=self.ranks.device, weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.ema, self.step, self.log = state["ema"], state["step"], state["log"]


def train(
    training: Training,
    loss_of: Callable[[int, float], dict[str, Tensor]],
    schedule: Schedule,
    budget: Budget,
    checkpoint: Path | None = None,
) -> None:
    """Train until the budget is spent.

    `loss_of(step, elapsed)` returns named scalars of which "loss" is minimised. All processes stop at
    the same step. The state is saved every `budget.save_every` seconds and at the end.
    """
    ranks, params = training.ranks, training.parameters
    start = saved = logged = time.monotonic()
    first = training.step
    while training.step - first < budget.steps:
        elapsed = ranks.first_of((time.monotonic() - start) / budget.seconds)
        if elapsed >= 1:
            break
        factor = schedule.factor(training.step, min(1.0, elapsed))
        for name, optimizer in training.optimizers.items():
            for group, base in zip(optimizer.param_groups, training.base_lr[name], strict=True):
                group["lr"] = base * factor
        losses = loss_of(training.step, min(1.0, elapsed))
        losses["loss"].backward()
        ranks.average_gradients(params)
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
        for optimizer in training.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        training.average()
        training.step += 1
        now = time.monotonic()
        if now - logged >= budget.log_every and ranks.rank == 0:
            logged = now
            entry = {
                "step": training.step,
                "seconds": round(now - start, 1),
                "lr": factor,
                "grad_norm": float(norm),
            }
            training.log.append(entry | {k: round(float(v.detach()), 5) for k, v in losses.items()})
            logger.info(json.dumps(training.log[-1]))
        if checkpoint is not None and now - saved >= budget.save_every and ranks.rank == 0:
            saved = now
            training.save(checkpoint)
    if checkpoint is not None and ranks.rank == 0:
        training.save(checkpoint)
