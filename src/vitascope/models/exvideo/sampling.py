"""What ExVideo does around the UNet beyond diffusers' SVD pipeline: video to video, and steady frames.

Without `strength` nothing here is needed: `EulerDiscreteScheduler` with SVD's config makes the same steps.

Source: DiffSynth-Studio at afd101f, `diffsynth/schedulers/continuous_ode.py` and
`diffsynth/pipelines/svd_video.py`, Apache-2.0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0


def video_to_video_sigmas(num_inference_steps: int, strength: float = 1.0) -> list[float]:
    """The noise levels of a run that starts part of the way: pass them as the pipeline's `sigmas`.

    All steps are spent on the part that is left, unlike in diffusers, where `strength` drops steps. The list
    ends with the 0 that diffusers expects.

    Range: strength in (0, 1], 1 is from pure noise.
    Source: Karras et al., arXiv 2206.00364, equation 5, with the ramp started at 1 - strength.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
    ramp = torch.linspace(1 - strength, 1, num_inference_steps, dtype=torch.float64)
    first, last = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return [*((first + ramp * (last - first)) ** RHO).tolist(), 0.0]


def noise_latents(latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """Mix a clip's latents with noise of level `sigma`, scaled as the pipeline wants its `latents`."""
    return (latents + sigma * noise) / (sigma**2 + 1) ** 0.5


def steady_frames(latents: Tensor, contrast: float = 1.2) -> Tensor:
    """Give every frame the mean and spread of the whole clip, then raise the contrast, before decoding.

    Long clips drift in brightness from frame to frame; upstream does this by default.

    Shape: `(B, t, c, h, w)`, in and out.
    """
    clip, frame = (1, 2, 3, 4), (2, 3, 4)
    mean, std = latents.mean(clip, keepdim=True), latents.std(clip, keepdim=True)
    standard = (latents - latents.mean(frame, keepdim=True)) / latents.std(frame, keepdim=True)
    return contrast * (standard * std + mean)
