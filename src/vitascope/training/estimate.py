"""Estimate the memory and time of a training before the weights are loaded.

Sums, not measurements: weights, adapter and optimiser by their parameters, what is kept for the backward pass
by tokens and width, time by operations over what this device does with a matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.errors import OutOfMemory
from vitascope.training.recipe import Recipe

GIB = 2**30
Recompute = Literal["none", "attention", "full"]

# Tensors of a token's width that a block keeps for its backward pass, counted on CogVideoX: norms, queries,
# keys, values, attention, gates and the feed-forward's wide middle. "attention" keeps its input, the
# attention's result and its statistics; "full" the input alone. One block is always whole while it runs.
KEPT = {"none": 20.0, "attention": 2.0, "full": 1.0}
USED = 0.65  # of a matrix product's speed, over a whole step
LAUNCH_S = 0.002  # of a GPU for each block, however small: Sprout's 8 took 19 ms on an H200, recorded


@dataclass(frozen=True)
class Sizes:
    """A denoiser's numbers. `width` of a token, `tokens` of one clip with its caption."""

    parameters: float
    adapter: float
    blocks: int
    width: int
    tokens: int


@dataclass(frozen=True)
class Estimate:
    """What a step and a run will take. `arithmetic_s`: a step's operations alone. Units: GiB, seconds."""

    recompute: Recompute
    memory_gib: float
    arithmetic_s: float
    step_s: float
    run_s: float

    def line(self, free_gib: float) -> str:
        """For the user, before it starts."""
        return (
            f"about {self.memory_gib:.1f} of {free_gib:.1f} GiB, {self.step_s:.2g} s a step, "
            f"{_duration(self.run_s)} in all (recomputing: {self.recompute})"
        )


def _duration(seconds: float) -> str:
    for name, unit in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def sizes_of(config: Mapping[str, Any], parameters: float, recipe: Recipe, latent: tuple[int, ...]) -> Sizes:
    """From a transformer's configuration and the largest latent. Shape: latent as (time, height, width)."""
    heads, head = config.get("num_attention_heads", 1), config.get("attention_head_dim", 64)
    width = heads * head
    blocks = config.get("num_layers", 1) + config.get("num_single_layers", 0)
    patch, patch_t = config.get("patch_size", 2), config.get("patch_size_t") or 1
    seen = latent[0] * latent[1] * latent[2] // (patch * patch * patch_t)
    text = config.get("max_text_seq_length", 256)
    pairs = {"attention": 4 * 2 * width, "all": (4 * 2 + 10) * width}
    targets = recipe.adapter.targets
    each = pairs[targets] if isinstance(targets, str) else len(targets) * 2 * width
    return Sizes(parameters, blocks * each * recipe.adapter.rank, blocks, width, seen + text)


def memory_gib(sizes: Sizes, recipe: Recipe, recompute: Recompute, element: int, world: int) -> float:
    """Peak memory of a step on one device. `element`: bytes of a number outside the adapter."""
    base = sizes.parameters * (1 if recipe.placement.base != "full" else element)
    if recipe.placement.sharding == "fsdp2":
        base = base / world + 2 * sizes.parameters / sizes.blocks * element
    states = {"adamw-8bit": 2, "muon": 4, "prodigy": 16}.get(recipe.optimiser.name, 8)
    adapter = sizes.adapter * (4 + 4 + states + (4 if recipe.saving.ema else 0))
    token = sizes.width * element * sizes.tokens * recipe.batch_size
    kept = token * (KEPT[recompute] * sizes.blocks + (KEPT["none"] if recompute != "none" else 4))
    return (base + adapter + kept) / GIB + (0.6 if element == 2 else 0.2)


def operations(sizes: Sizes, recipe: Recipe, recompute: Recompute) -> float:
    """Floating-point operations of a step on one device.

    A frozen layer's backward pass is as dear as its forward pass, attention's 2.5 times.
    """
    linear = 2.0 * sizes.parameters * sizes.tokens
    attention = 4.0 * sizes.tokens**2 * sizes.width * sizes.blocks
    again = {"none": 0.0, "attention": linear, "full": linear + attention}[recompute]
    return (2 * linear + 3.5 * attention + again) * recipe.batch_size * recipe.accumulate


def estimate(
    sizes: Sizes, recipe: Recipe, free_gib: float, device: Any, element: int, world: int = 1
) -> Estimate:
    """The estimate, with the least recomputing that fits.

    Raises: OutOfMemory with what would fit, where even the most frugal way asked for does not.
    """
    asked = recipe.placement.checkpointing
    ways: tuple[Recompute, ...] = ("none", "attention", "full") if asked == "auto" else (asked,)
    needs = [memory_gib(sizes, recipe, way, element, world) for way in ways]
    fitting = [way for way, need in zip(ways, needs, strict=True) if need <= 0.92 * free_gib]
    if not fitting:
        raise OutOfMemory(
            f"this training needs about {needs[-1]:.1f} GiB and {free_gib:.1f} may be used; "
            f"{_advice(recipe, sizes, element, world, free_gib)}"
        )
    speed = _matrix_speed(device, element)
    arithmetic = operations(sizes, recipe, fitting[0]) / (USED * speed)
    launches = LAUNCH_S * sizes.blocks * recipe.accumulate if device.type == "cuda" else 0.0
    step = max(arithmetic, launches)
    need = memory_gib(sizes, recipe, fitting[0], element, world)
    return Estimate(fitting[0], need, arithmetic, step, step * recipe.steps)


def _advice(recipe: Recipe, sizes: Sizes, element: int, world: int, free: float) -> str:
    changes: list[tuple[str, Recipe]] = []
    frugal = recipe
    if recipe.batch_size > 1:
        frugal = frugal.model_copy(update={"batch_size": 1})
        changes.append(("batch_size: 1 with accumulate", frugal))
    if recipe.placement.base == "full":
        place = recipe.placement.model_copy(update={"base": "fp8"})
        frugal = frugal.model_copy(update={"placement": place})
        changes.append(("placement.base: fp8", frugal))
    said = [name for name, _ in changes]
    for i, (_, changed) in enumerate(changes):
        if memory_gib(sizes, changed, "full", element, world) <= 0.92 * free:
            return "this fits: " + ", ".join([*said[: i + 1], "checkpointing: full"])
    return "use fewer or smaller frames, or more GPUs with sharding: fsdp2"


def _matrix_speed(device: Any, element: int) -> float:
    """Operations a second of a matrix product on this device, tried for a moment."""
    import torch

    side = 4096 if device.type == "cuda" else 512
    dtype = torch.bfloat16 if element == 2 else torch.float32
    a = torch.randn(side, side, device=device, dtype=dtype)
    times = []
    for _ in range(4):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begun = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return 2.0 * side**3 / min(times[1:])
