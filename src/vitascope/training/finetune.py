"""A fine-tuning from recipe to LoRA file: encode, estimate, train, write. Jobs and the command line join here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml
from torch import Tensor

from vitascope.atomic import ready_folder, write_bytes
from vitascope.context import Context, Progress
from vitascope.engine import memory, weights
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, RequestError, RunError
from vitascope.training import adapter as adapters
from vitascope.training.base_model import BaseModel
from vitascope.training.blocks import blocks_of, fast_attention, recompute, shard
from vitascope.training.cache import EncodedData, encode_all
from vitascope.training.card import write_card
from vitascope.training.dataset import Bucket, Collection, collect
from vitascope.training.deck import Deck
from vitascope.training.estimate import Estimate, estimate, sizes_of
from vitascope.training.frozen import freeze_in_8_bits
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train
from vitascope.training.objective import NoiseSchedule, weighted_error
from vitascope.training.optimisers import new_optimiser
from vitascope.training.recipe import Recipe
from vitascope.training.recorded import Predictor, may_be_recorded, tensor_cores
from vitascope.training.trackers import Tracker, open_trackers, tell
from vitascope.training.validation import make_samples, running_plainly

logger = logging.getLogger(__name__)
COMPILE_FROM_S = 600.0
"""Estimated seconds of a run from which compiling pays for itself on a GPU."""


@dataclass(frozen=True)
class Result:
    """What came out. Units: seconds of this run, `step_s` a step's median over it."""

    lora: Path
    comfyui: Path
    card: Path
    steps: int
    num_clips: int
    num_left_out: int
    seconds: float
    step_s: float
    samples: tuple[Path, ...] = ()


@dataclass
class _Work:
    """One run's moving parts."""

    recipe: Recipe
    base: BaseModel
    context: Context
    ranks: Ranks
    placement: Placement
    data: EncodedData
    buckets: tuple[Bucket, ...]
    pipeline: Any = None
    predict: Predictor = field(init=False)
    trackers: list[Tracker] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    samples: dict[int, list[Path]] = field(default_factory=dict)

    @property
    def states(self) -> Path:
        return self.recipe.folder / "checkpoints"


def run(
    recipe: Recipe,
    context: Context,
    *,
    fresh: bool = False,
    base: BaseModel | None = None,
    say: Callable[[str], None] = logger.info,
) -> Result:
    """Fine-tune as the recipe says; goes on from the run's newest checkpoint unless `fresh`.

    `base`: the recipe's model, if it was found already. `say` is told the estimate before it starts.

    Asked to stop through the context, it saves and raises JobCancelled; the same call goes on later.
    Raises: RequestError (recipe, data, another run in the folder), OutOfMemory, DiskFull, WeightsMissing,
    DependencyMissing, RunError (no finite gradients), JobCancelled.
    """
    begun = time.monotonic()
    base = base or BaseModel.find(recipe, context.settings)
    buckets = base.buckets(recipe)
    found = collect(recipe.data)
    ranks = Ranks.join(None if recipe.placement.device == "auto" else recipe.placement.device)
    placement = _placement(recipe, ranks)
    if ranks.rank == 0:
        ready_folder(recipe.folder)
    saved = [] if fresh else _checkpoints(recipe.folder / "checkpoints")
    guess = _estimate(base, recipe, buckets, ranks, placement)
    say(f"{len(found.samples)} clips; {guess.line(memory.free_gib(placement))}")
    data = _encode(base, recipe, buckets, found, ranks, placement, context)
    work = _Work(recipe, base, context, ranks, placement, data, buckets)
    if fresh and ranks.rank == 0:
        (recipe.folder / "log.jsonl").unlink(missing_ok=True)
    try:
        training = _prepare(work, guess)
        if saved:
            training.load(saved[-1])
            say(f"goes on from step {training.step} ({saved[-1]})")
        elif fresh and ranks.rank == 0:
            for old in _checkpoints(work.states):
                old.unlink()
        _train(work, training)
        return _finish(work, training, begun)
    finally:
        tell(work.trackers, lambda tracker: tracker.close(), context.warn)


def _placement(recipe: Recipe, ranks: Ranks) -> Placement:
    asked = recipe.placement
    device = str(ranks.device) if asked.device == "auto" or ranks.world > 1 else asked.device
    return Placement(device=device, dtype=asked.dtype, memory_gib=asked.memory_gib).resolve()


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"))


def _estimate(
    base: BaseModel, recipe: Recipe, buckets: tuple[Bucket, ...], ranks: Ranks, placement: Placement
) -> Estimate:
    pixels, time_step = 8, base.config.get("temporal_compression_ratio", 4)
    latents = [((f - 1) // time_step + 1, h // pixels, w // pixels) for w, h, f in buckets]
    largest = max(latents, key=lambda shape: shape[0] * shape[1] * shape[2])
    sizes = sizes_of(base.config, base.parameters, recipe, largest)
    element = memory.BYTES[placement.dtype]
    return estimate(sizes, recipe, memory.free_gib(placement), ranks.device, element, ranks.world)


def _encode(
    base: BaseModel,
    recipe: Recipe,
    buckets: tuple[Bucket, ...],
    found: Collection,
    ranks: Ranks,
    placement: Placement,
    context: Context,
) -> EncodedData:
    """Each process encodes its share, then all read everything."""
    folder, prompts = context.settings.home / "training-cache", recipe.validation.prompts
    encoders = base.encoders(placement)
    if ranks.world > 1:
        share = Collection(found.samples[ranks.rank :: ranks.world])
        quiet = replace(context, on_progress=lambda _: None, warnings=[])
        # A share may be empty, or hold no readable clip; whether all of them do is seen below, by all processes.
        with suppress(RequestError):
            encode_all(share, buckets, recipe.video, encoders, prompts, folder, quiet)
        dist.barrier()
    return encode_all(found, buckets, recipe.video, encoders, prompts, folder, context)


def _prepare(work: _Work, guess: Estimate) -> Training:
    recipe, ranks = work.recipe, work.ranks
    torch.manual_seed(recipe.seed)
    work.pipeline = work.base.pipeline(work.placement, "transformer")
    net = work.pipeline.transformer
    trained = adapters.insert(net, recipe.adapter, work.base.family)
    blocks = blocks_of(net)
    if recipe.placement.base != "full":
        freeze_in_8_bits(blocks, recipe.placement.base)
    compiled = recipe.placement.compile
    if compiled == "auto":
        compiled = ranks.device.type == "cuda" and guess.run_s >= COMPILE_FROM_S
    recompute(blocks, guess.recompute, compiled=compiled)
    plain = ranks.device.type == "cuda" and not compiled and guess.recompute == "none"
    plain = plain and recipe.placement.sharding == "none"
    work.predict = Predictor(
        work.pipeline, work.base.family, may_be_recorded(recipe, guess.arithmetic_s, plain=plain)
    )
    if recipe.placement.sharding == "fsdp2":
        if ranks.world == 1:
            raise RequestError(
                "sharding: fsdp2 needs several processes; start with torchrun", param="sharding"
            )
        shard(blocks, trained)
    if ranks.rank == 0:
        settings = recipe.model_dump(mode="json")
        write_bytes(recipe.folder / "recipe.yaml", yaml.safe_dump(settings, allow_unicode=True).encode())
        work.trackers = open_trackers(
            recipe.saving.trackers, recipe.folder, recipe.name, settings, work.context.warn
        )
    return Training(
        {"transformer": net.train()},
        {"adapter": new_optimiser(recipe.optimiser, trained)},
        ranks,
        ema_decay=recipe.saving.ema,
        trained_only=True,
        identity=f"{recipe.fingerprint()}/{work.data.content_hash()[:16]}",
    )


def _train(work: _Work, training: Training) -> None:
    recipe, context, ranks = work.recipe, work.context, work.ranks
    shares = [source.share for source in recipe.data]
    deck = Deck(work.data.items, shares, recipe.batch_size, recipe.seed, ranks.rank, ranks.world)
    levels = NoiseSchedule(work.pipeline.scheduler, work.base.family, recipe.objective, ranks.device)
    fall = {"constant": 1.0}.get(recipe.optimiser.schedule, 0.0)
    schedule = Schedule(recipe.optimiser.warmup, fall, cosine=recipe.optimiser.schedule == "cosine")
    budget = Budget(
        until=recipe.steps,
        log_every=0.0,
        accumulate=recipe.accumulate,
        max_grad_norm=recipe.optimiser.max_grad_norm,
    )
    last = time.monotonic()

    def loss_of(number: int, _elapsed: float) -> dict[str, Tensor]:
        return {"loss": _loss(work, deck, levels, number)}

    def after_step(entry: dict[str, float] | None) -> bool:
        nonlocal last
        now = time.monotonic()
        work.times.append(now - last)
        context.on_progress(Progress("train", training.step, recipe.steps))
        if entry:
            numbers = {k: v for k, v in entry.items() if k != "step"}
            tell(work.trackers, lambda tracker: tracker.numbers(training.step, numbers), context.warn)
        if context.cancel.is_set():
            return True
        if recipe.saving.every and training.step % recipe.saving.every == 0:
            _save(work, training)
        if (
            recipe.validation.every
            and training.step % recipe.validation.every == 0 < recipe.steps - training.step
        ):
            _validate(work, training)
        last = time.monotonic()
        return False

    with (
        memory.exhaustion_explained(work.placement, "training"),
        fast_attention(),
        tensor_cores(ranks.device),
    ):
        train(training, loss_of, schedule, budget, None, after_step)
    training.log.clear()
    _save(work, training)
    if training.step < recipe.steps:
        raise JobCancelled(
            f"stopped and saved at step {training.step} of {recipe.steps}; run it again to go on",
            kept=True,
        )


def _loss(work: _Work, deck: Deck, levels: NoiseSchedule, number: int) -> Tensor:
    """The loss of one batch, a function of the recipe, the weights and the batch's number alone."""
    recipe, device, family = work.recipe, work.ranks.device, work.base.family
    dtype = getattr(torch, work.placement.dtype)
    generator = work.ranks.generator(recipe.seed, number)
    items = deck.batch(number)
    latents = _stacked([work.data.read(item.latents) for item in items], device)
    mean = latents["mean"]
    clean = mean + latents["std"] * torch.randn(mean.shape, generator=generator, device=device)
    captions = _stacked([work.data.read(item.caption) for item in items], device)
    lots = torch.rand(2, len(items), generator=generator, device=device)
    condition = {}
    for name, nothing in work.data.read(work.data.empty).items():
        dropped = (lots[0] < recipe.objective.caption_dropout).view(-1, *(1,) * nothing.ndim)
        condition[name] = _in(torch.where(dropped, nothing.to(device), captions[name]), dtype)
    if family.from_image:
        picture = latents["picture_mean"]
        noise = torch.randn(picture.shape, generator=generator, device=device)
        kept = (lots[1] >= recipe.objective.image_dropout).view(-1, *(1,) * (picture.ndim - 1))
        condition["picture"] = (picture + latents["picture_std"] * noise) * kept
    noised = levels.noised(clean, generator)
    if recipe.adapter.dropout:  # it draws from the global source, which a resumed run must find alike
        torch.manual_seed(generator.initial_seed())
    with torch.autocast(device.type, torch.bfloat16, enabled=work.placement.dtype == "bfloat16"):
        made = work.predict(noised.noisy.to(dtype), noised.level, condition)
    return weighted_error(made, noised)


def _in(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _stacked(parts: list[dict[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]).to(device) for name in parts[0]}


def _save(work: _Work, training: Training) -> None:
    if work.ranks.rank:
        return
    training.log.clear()  # log.jsonl has it
    training.save(work.states / f"state-{training.step:07d}.pt")
    for old in _checkpoints(work.states)[: -work.recipe.saving.keep]:
        old.unlink()


def _validate(work: _Work, training: Training) -> None:
    if not work.recipe.validation.prompts or (work.ranks.rank and work.recipe.placement.sharding == "none"):
        return
    net = work.pipeline.transformer
    training.swap_average()
    try:
        with running_plainly(blocks_of(net.eval())):
            made = make_samples(
                work.base,
                work.pipeline,
                work.data,
                work.recipe,
                work.placement,
                work.buckets[0],
                training.step,
            )
    finally:
        training.swap_average()
        net.train()
    work.samples[training.step] = [path for path, _ in made]

    def show(tracker: Tracker) -> None:
        for path, clip in made:
            tracker.clip(training.step, path, clip)

    tell(work.trackers, show, work.context.warn)


def _finish(work: _Work, training: Training, begun: float) -> Result:
    recipe = work.recipe
    _validate(work, training)
    times = sorted(work.times) or [0.0]
    step_s = times[len(times) // 2]
    seconds = time.monotonic() - begun
    mark = weights.fingerprint(work.base.folder)
    triggers = [source.trigger for source in recipe.data if source.trigger]
    notes = {"base_model": recipe.model, "base_fingerprint": mark, "trigger_words": ", ".join(triggers)}
    samples = work.samples.get(training.step, [])
    training.swap_average()
    if not all(bool(weight.isfinite().all()) for weight in training.parameters):
        raise RunError(
            f"after step {training.step} the adapter holds numbers that are not finite; "
            f"lower optimiser.lr (it is {recipe.optimiser.lr:g})"
        )
    files = adapters.export(work.pipeline.transformer, recipe.folder, recipe.name, notes)
    training.swap_average()
    data = (len(work.data.items), work.data.content_hash(), mark)
    said = {
        "steps": f"{training.step} of {recipe.batch_size * recipe.accumulate * work.ranks.world} clips",
        "device": f"{work.ranks.world} x {_device_name(work.ranks.device)}, {work.placement.dtype}",
        "time": f"{seconds:.0f} s in the last run, {step_s:.3g} s a step",
    }
    card = write_card(recipe.folder, recipe, training.step, data, samples, said)
    return Result(
        files.lora,
        files.comfyui,
        card,
        training.step,
        len({item.sample.path for item in work.data.items}),
        len(work.data.left_out),
        round(seconds, 1),
        round(step_s, 4),
        tuple(samples),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
