"""What a generation will take, asked before anything is loaded: for `vitascope plan` and for services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vitascope.clip import Image
from vitascope.engine import memory, step_levers, weights
from vitascope.engine.calibration import committed
from vitascope.engine.estimate import Estimate, estimate
from vitascope.engine.memory import BYTES, GIB
from vitascope.engine.placement import Placement
from vitascope.engine.subject import Gpu
from vitascope.engine.workload import Architecture, Billions, Wanted, published
from vitascope.errors import RequestError, UnknownName, WeightsMissing
from vitascope.generators import for_model
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators.base import Generator
from vitascope.task import ImageToVideo, Task, TextToVideo
from vitascope.workflows.generate import GenerationRequest, order

PROMPT = "a clip of some length"  # words cost nothing
PLANNED = "models of the families Mochi, CogVideoX, Wan, HunyuanVideo and LTX-Video"
ASKED_TWICE = ("wan", "hunyuan15")  # a step asks for each prompt by itself


def architecture_of(generator: Generator) -> Architecture:
    """The sizes of a generator's model, from a table or from the configuration files of its folder.

    Raises: RequestError for a family that no plan is made for, WeightsMissing for a folder without weights.
    """
    known = type(generator).known_model(getattr(generator, "model", ""))
    if known is not None and known.name in published():
        return published()[known.name]
    sizes = None
    if isinstance(generator, DiffusersGenerator):
        source = generator.source()
        if source.kind == "hub" and any(model.name in published() for model in generator.models):
            raise WeightsMissing(f"{generator.model!r} is not here; pull it, and it can be planned")
        folder = Path(source.name)
        if source.kind != "hub" and folder.is_dir():
            configs = weights.read_configs(source, offline=True)
            sizes = Architecture.of_configs(configs.components, _billions(folder))
    if sizes is None:
        name = getattr(generator, "model", "") or generator.name
        raise RequestError(f"no plan is made for {name!r}; {PLANNED} can be planned", param="model")
    return sizes


def _billions(folder: Path) -> Billions:
    gib = memory.component_gib(folder, "bfloat16")
    each = {name: size * GIB / BYTES["bfloat16"] / 1e9 for name, size in gib.items()}
    return Billions(
        denoiser=each.get("transformer", 0.0) + each.get("transformer_2", 0.0),
        text_encoder=sum(size for name, size in each.items() if name.startswith("text_encoder")),
        vae=each.get("vae", 0.0),
    )


def order_of_any_clip(model: str, **options: Any) -> GenerationRequest:
    """An order whose content does not matter: some words, and a black picture where the model starts from one.

    Raises: as `order`.
    """
    if not model:
        raise RequestError(
            "model '' is no name and no folder; say what to plan, such as mochi-1", param="model"
        )
    generator = for_model(model)
    known = type(generator).known_model(model)
    profile = generator.profile() if isinstance(generator, DiffusersGenerator) else None
    kinds = known.tasks if known else profile.kinds if profile else (TextToVideo.kind,)
    if TextToVideo.kind in kinds or ImageToVideo.kind not in kinds:
        return order(PROMPT, model=model, **options)
    own = (profile.height, profile.width) if profile else (64, 64)
    height, width = options.get("height") or own[0], options.get("width") or own[1]
    black = np.zeros((height, width, 3), np.uint8)
    return order(PROMPT, model=model, image=Image(black), **options)


def planned_gpu(on: str | None, device: str = "auto") -> Gpu | None:
    """The GPU that a plan is for: one named, such as "h200", or this machine's; None for the CPU.

    `device`: the placement's, which must agree.
    Raises: UnknownName, RequestError.
    """
    kind, calibration = device.partition(":")[0], committed()
    if kind not in ("auto", "cuda", "cpu"):
        raise RequestError(
            f"no plan is made for device {device!r}; plans are for cuda and cpu", param="device"
        )
    names = {name.lower(): name for name in calibration.devices}
    if on is not None and on.lower() not in (*names, "cpu"):
        raise UnknownName("device to plan for", on, [*calibration.devices, "cpu"], param="on")
    if on is not None and kind not in ("auto", "cpu" if on.lower() == "cpu" else "cuda"):
        raise RequestError(
            f"device={device!r} is not the {on} to plan for; leave one of them out", param="device"
        )
    if "cpu" in (on.lower() if on else "", kind):
        return None
    if on is not None:
        return calibration.gpu(names[on.lower()])
    import torch

    return Gpu.here("cuda") if torch.cuda.is_available() else calibration.gpu("H100")


def _num_calls(generator: DiffusersGenerator, sizes: Architecture, guidance_scale: float) -> int:
    """How often a step asks the denoiser, where the two prompts do not go in one batch."""
    asked_twice = sizes.family in ASKED_TWICE and guidance_scale > 1
    return 2 if asked_twice or getattr(generator, "true_cfg_scale", 1.0) > 1 else 1


def plan(generator: Generator, task: Task, placement: Placement, gpu: Gpu | None) -> Estimate:
    """The estimate of one completed task by `generator` under `placement`, on GPUs like `gpu` (None: the CPU).

    Loads nothing and needs no GPU.
    Raises: RequestError for a family without a plan, as `levers.decide` and `step_levers.check` for a placement
    that cannot be.
    """
    sizes = architecture_of(generator)
    assert isinstance(generator, DiffusersGenerator), "the families with a plan run on diffusers"
    assert task.width and task.height and task.num_frames, "complete() fills these in"
    filled = generator.filled_in(generator.profile())
    wanted = Wanted(
        width=task.width,
        height=task.height,
        num_frames=task.num_frames,
        num_inference_steps=filled.num_inference_steps or 1,
        guided=generator.batches_guidance(),
        num_calls=_num_calls(generator, sizes, filled.guidance_scale or 0.0),
    )
    dtype = ("float32" if gpu is None else "bfloat16") if placement.dtype == "auto" else placement.dtype
    device = "cpu" if gpu is None else "cuda"
    if gpu is not None and placement.attention == "sage":
        gpu = gpu.model_copy(update={"sage": None})  # whether it is installed is another question
    placement.check_for(device)
    placement.check_together(num_clips=1)
    resolved = placement.model_copy(update={"dtype": dtype, "device": device})
    made = estimate(sizes, wanted, resolved, gpu, splits=generator.splits)
    step_levers.check(made.levers, placement.skip_interval, wanted.num_inference_steps, filled.guidance_scale)
    return made
