"""Clips made while training, from the same prompts and seeds each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.media import read_image
from vitascope.training.base_model import BaseModel
from vitascope.training.cache import EncodedData
from vitascope.training.dataset import Bucket
from vitascope.training.recipe import Recipe


@contextmanager
def running_plainly(blocks: list[nn.Module]) -> Iterator[None]:
    """The blocks without recomputing and compilation, which are for training alone."""
    kept = {block: block.__dict__.pop("forward") for block in blocks if "forward" in block.__dict__}
    try:
        yield
    finally:
        for block, forward in kept.items():
            block.forward = forward


@torch.no_grad()
def make_samples(
    base: BaseModel,
    pipeline: Any,
    data: EncodedData,
    recipe: Recipe,
    placement: Placement,
    bucket: Bucket,
    step: int,
) -> list[tuple[Path, Clip]]:
    """A clip for each of the recipe's prompts, written to `samples/`."""
    wanted, profile = recipe.validation, base.generator.profile()
    device = torch.device(placement.device)
    maker = base.with_vae(pipeline, placement)
    maker.set_progress_bar_config(disable=True)
    width, height, num_frames = bucket
    empty = {name: t.to(device) for name, t in data.read(data.empty).items()}
    folder = recipe.folder / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, prompt in enumerate(wanted.prompts):
        condition = {name: t.to(device) for name, t in data.read(data.prompts[prompt]).items()}
        arguments = base.family.prompt_arguments(condition, empty)
        arguments = {name: _in_dtype(value, maker.transformer.dtype) for name, value in arguments.items()}
        if wanted.images:
            arguments["image"] = _picture(wanted.images[number], width, height)
        guidance = profile.guidance_scale if wanted.guidance_scale is None else wanted.guidance_scale
        with torch.autocast(device.type, torch.bfloat16, enabled=placement.dtype == "bfloat16"):
            output = maker(
                **arguments,
                width=width,
                height=height,
                num_frames=num_frames,
                num_inference_steps=wanted.num_inference_steps or profile.num_inference_steps,
                guidance_scale=guidance,
                generator=torch.Generator("cpu").manual_seed(wanted.seed + number),
                output_type="np",
            )
        frames = (np.asarray(output.frames[0]) * 255).round().clip(0, 255).astype(np.uint8)
        clip = Clip(frames, Fraction(base.fps(recipe)).limit_denominator(1001))
        made.append((clip.save(folder / f"step-{step:06d}-{number + 1}.mp4"), clip))
    return made


def _in_dtype(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _picture(path: Path, width: int, height: int) -> Any:
    from PIL import Image, ImageOps

    return ImageOps.fit(Image.fromarray(read_image(path).pixels), (width, height))
