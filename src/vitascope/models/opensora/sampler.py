"""The denoising loop of Open-Sora 1.2, with frames that are kept or only partly made over.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/schedulers/rf/__init__.py, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vitascope.models.opensora.scheduler import OpenSoraScheduler

# (latents, timestep, frame mask or None) -> velocity
PredictVelocity = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def denoise(
    scheduler: OpenSoraScheduler,
    predict_velocity: PredictVelocity,
    latents: Tensor,
    edit_ratio: Tensor | None = None,
    draw_noise: Callable[[Tensor], Tensor] = torch.randn_like,
    on_step: Callable[[int, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Walk `latents` along the scheduler's timesteps.

    A frame with edit ratio r waits, clean, until the timestep has fallen to r * 1000; then it is given that
    much noise and denoised with the others. With 1 it is made from noise, with 0 it stays as it is.
    `on_step(index, timestep, latents)` is called after each step and gives what to go on with.

    Shape: latents `B c t h w`, edit_ratio `B t`.
    Range: edit_ratio 0..1; None = make every frame.
    """
    was_active = None if edit_ratio is None else edit_ratio == 1
    for index, timestep in enumerate(scheduler.timesteps):
        before, active = latents, None
        if edit_ratio is not None and was_active is not None:
            active = edit_ratio * scheduler.config.num_train_timesteps >= timestep
            noised = scheduler.add_noise(latents, draw_noise(latents), timestep)
            latents = torch.where(_over_latents(active & ~was_active), noised, latents)
            was_active = active
        velocity = predict_velocity(latents, timestep, active)
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        if active is not None:
            latents = torch.where(_over_latents(active), latents, before)
        if on_step is not None:
            latents = on_step(index, timestep, latents)
    return latents


def _over_latents(frames: Tensor) -> Tensor:
    return frames[:, None, :, None, None]
