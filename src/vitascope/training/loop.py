"""The training loop that every recipe shares: clock, schedule, averaging, checkpoints, several GPUs."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitascope.atomic import replacing
from vitascope.errors import DiskFull, RequestError, RunError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is, and its device."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls, device: str | None = None) -> Ranks:
        """Join the group that `torchrun` or `accelerate launch` started, or stand alone."""
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        if not torch.cuda.is_available() or device == "cpu":
            if world > 1 and not dist.is_initialized():
                dist.init_process_group("gloo")
            return cls(rank, world, torch.device("cpu"))
        index = torch.device(device or "cuda").index
        card = torch.device("cuda", int(os.environ.get("LOCAL_RANK", index or 0)))
        torch.cuda.set_device(card)
        if world > 1 and not dist.is_initialized():
            # Numbers on the CPU travel by gloo, without waiting for the GPUs.
            dist.init_process_group("cpu:gloo,cuda:nccl")
        return cls(rank, world, card)

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
    """Learning rate over a run: linear warm-up, constant, and a fall in the last part of it.

    Units: `warmup` in steps; `decay_from` as a share of the run, 1 for no fall.
    """

    warmup: int = 150
    decay_from: float = 1.0
    cosine: bool = False

    def factor(self, step: int, elapsed: float) -> float:
        """What the learning rates are multiplied with. Range: `elapsed` 0..1 of the run."""
        rising = min(1.0, (step + 1) / max(1, self.warmup))
        if elapsed <= self.decay_from:
            return rising
        left = (1 - elapsed) / (1 - self.decay_from)
        if self.cosine:
            left = (1 - math.cos(math.pi * left)) / 2
        return rising * max(0.02, left)


@dataclass(frozen=True)
class Budget:
    """How long to train: by the clock, by steps of this run, or up to a step; whichever ends first.

    With `until` the schedule follows the steps, so that a resumed run repeats it; else the clock.
    Units: `save_every` and `log_every` in seconds.
    """

    seconds: float = float("inf")
    steps: int = 2**31
    until: int | None = None
    save_every: float = 120.0
    log_every: float = 5.0
    accumulate: int = 1
    max_grad_norm: float = 1.0

    def elapsed(self, step: int, seconds: float) -> float:
        """How much of the run is over. Range: 0..1, more if it should have ended."""
        return seconds / self.seconds if self.until is None else step / self.until


@dataclass
class Training:
    """Everything that changes while training, and how it is saved.

    `ema_decay` 0 keeps no average. With `trained_only` a checkpoint leaves out what does not change, such as
    the frozen weights under an adapter.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    ranks: Ranks
    ema_decay: float = 0.998
    step: int = 0
    log: list[dict[str, float]] = field(default_factory=list)
    trained_only: bool = False
    identity: str = ""
    ema: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.ema = {k: v.detach().clone() for k, v in self._named().items()} if self.ema_decay else {}
        self.base_lr = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}

    def _named(self) -> dict[str, nn.Parameter]:
        return {
            f"{m}.{n}": p
            for m, module in self.modules.items()
            for n, p in module.named_parameters()
            if p.requires_grad or not self.trained_only
        }

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self._named().values() if p.requires_grad]

    def _state(self, module: nn.Module) -> dict[str, Any]:
        if not self.trained_only:
            return module.state_dict()
        return {n: p.detach() for n, p in module.named_parameters() if p.requires_grad}

    def scale_learning_rates(self, factor: float) -> None:
        """Set each learning rate to this multiple of what its optimiser began with."""
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self.base_lr[name], strict=True):
                group["lr"] = base * factor

    def average(self) -> None:
        """Move the running average of the weights on by one step."""
        if not self.ema:
            return
        decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.values()), [p.detach() for p in self._named().values()], 1 - decay)

    def swap_average(self) -> None:
        """Exchange the weights with their running average; call again to undo."""
        for name, p in self._named().items() if self.ema else ():
            p.data, self.ema[name] = self.ema[name], p.data

    def save(self, path: Path) -> None:
        """Write the whole state, atomically: a failure leaves the file that was there. Raises: DiskFull."""
        state = {
            "modules": {n: self._state(m) for n, m in self.modules.items()},
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            "ema": self.ema,
            "step": self.step,
            "log": self.log,
            "identity": self.identity,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path) as temporary:
                torch.save(state, temporary)
        except RuntimeError as error:  # torch's writer does not say why it could not write
            if "PytorchStreamWriter" not in str(error) and "inline_container" not in str(error):
                raise
            raise DiskFull(
                f"no space left to write {str(path)!r}; the checkpoint before it is kept"
            ) from error

    def load(self, path: Path) -> None:
        """Go on from a saved state. Raises: RequestError if it is another training's."""
        state: dict[str, Any] = torch.load(path, map_location=self.ranks.device, weights_only=True)
        if state.get("identity", "") != self.identity:
            raise RequestError(
                f"{str(path)!r} is from a training with other settings; start afresh (--fresh), or in another folder"
            )
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name], strict=not self.trained_only)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.ema, self.step, self.log = state["ema"], state["step"], state["log"]


MAX_BAD_STEPS = 10
"""Steps in a row whose gradient is no number, after which a run is given up."""


def train(
    training: Training,
    loss_of: Callable[[int, float], dict[str, Tensor]],
    schedule: Schedule,
    budget: Budget,
    checkpoint: Path | None = None,
    after_step: Callable[[dict[str, float] | None], bool] | None = None,
) -> None:
    """Train until the budget is spent.

    `loss_of(batch, elapsed)` returns named scalars of which "loss" is minimised; batches are counted over all
    runs, `accumulate` of them a step. `after_step` is given the step's log entry, if one was due, and stops the
    run with True. All processes stop at the same step. The state is saved when due and at the end.
    A step whose gradient is no finite number changes nothing. Raises: RunError after ten such in a row, DiskFull.
    """
    ranks, params = training.ranks, training.parameters
    start = saved = logged = time.monotonic()
    first, bad = training.step, 0
    while training.step - first < budget.steps:
        elapsed = ranks.first_of(budget.elapsed(training.step, time.monotonic() - start))
        if elapsed >= 1:
            break
        factor = schedule.factor(training.step, min(1.0, elapsed))
        training.scale_learning_rates(factor)
        losses = _gradients(training, loss_of, budget.accumulate, min(1.0, elapsed))
        ranks.average_gradients(params)
        norm = torch.nn.utils.clip_grad_norm_(params, budget.max_grad_norm)
        sound = bool(norm.isfinite())
        bad = 0 if sound else _count_bad(bad, training.step)
        for optimizer in training.optimizers.values():
            if sound:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        training.average()
        training.step += 1
        now, entry = time.monotonic(), None
        if now - logged >= budget.log_every and ranks.rank == 0:
            logged = now
            numbers = {"seconds": round(now - start, 3), "lr": factor, "grad_norm": float(norm)}
            entry = _logged(training, numbers, losses)
        if checkpoint is not None and now - saved >= budget.save_every and ranks.rank == 0:
            saved = now
            training.save(checkpoint)
        if after_step is not None and ranks.first_of(float(after_step(entry))):
            break
    if checkpoint is not None and ranks.rank == 0:
        training.save(checkpoint)


def _logged(training: Training, numbers: dict[str, float], losses: dict[str, Tensor]) -> dict[str, float]:
    """Write a step's entry to the log, and return it."""
    entry = {"step": training.step, **numbers}
    entry |= {name: round(float(value.detach()), 5) for name, value in losses.items()}
    training.log.append(entry)
    logger.info(json.dumps(entry))
    return entry


def _gradients(
    training: Training, loss_of: Callable[[int, float], dict[str, Tensor]], accumulate: int, elapsed: float
) -> dict[str, Tensor]:
    """Gradients of a step, of several batches if they are added up; the last batch's losses."""
    losses: dict[str, Tensor] = {}
    for part in range(accumulate):
        losses = loss_of(training.step * accumulate + part, elapsed)
        (losses["loss"] / accumulate if accumulate > 1 else losses["loss"]).backward()
    return losses


def _count_bad(bad: int, step: int) -> int:
    logger.warning("step %d: the gradient is no finite number; the step is skipped", step)
    if bad + 1 >= MAX_BAD_STEPS:
        raise RunError(
            f"{MAX_BAD_STEPS} steps in a row up to step {step} gave no finite gradient; "
            "lower the learning rate, or use float32"
        )
    return bad + 1
