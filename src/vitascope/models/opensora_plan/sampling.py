"""The denoising loop of Open-Sora-Plan.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.3.1, opensora/sample/pipeline_opensora.py, MIT.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Generators = torch.Generator | list[torch.Generator] | None


def denoise(
    scheduler: Any,
    predict: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    generator: Generators = None,
    after_step: Callable[[int, Tensor, Tensor], Tensor] = lambda _index, _timestep, latents: latents,
) -> Tensor:
    """Walk from scaled noise to latents over the timesteps that `scheduler` was set to.

    `predict(scaled_latents, timestep)` is asked once a step; `after_step(index, timestep, latents)` may
    change the latents, or raise to stop. The latents stay in the type that they come in.
    """
    extra: dict[str, Any] = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        extra["generator"] = generator
    for index, timestep in enumerate(scheduler.timesteps):
        predicted = predict(scheduler.scale_model_input(latents, timestep), timestep)
        predicted = predicted.to(latents.dtype)
        latents = scheduler.step(predicted, timestep, latents, **extra, return_dict=False)[0]
        latents = after_step(index, timestep, latents)
    return latents


def guided(predicted: Tensor, guidance_scale: float, guidance_rescale: float = 0.0) -> Tensor:
    """Classifier-free guidance. Shape: 2B ... (without the prompt, then with it) -> B ...

    Source: arXiv 2207.12598 eq. 6; `guidance_rescale` arXiv 2305.08891 section 3.4.
    """
    without, with_prompt = predicted.chunk(2)
    towards = without + guidance_scale * (with_prompt - without)
    if not guidance_rescale:
        return towards
    axes = list(range(1, towards.ndim))
    rescaled = towards * with_prompt.std(axes, keepdim=True) / towards.std(axes, keepdim=True)
    return guidance_rescale * rescaled + (1 - guidance_rescale) * towards
