"""What a denoiser learns: noise levels drawn, clips noised, errors weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vitascope.errors import RequestError
from vitascope.training.families.base import Family
from vitascope.training.recipe import Objective


@dataclass(frozen=True)
class Noised:
    """Clips at drawn noise levels. Shape: `noisy` and `target` as the latents, `level` and `weight` (B,)."""

    noisy: Tensor
    target: Tensor
    level: Tensor
    weight: Tensor


class NoiseSchedule:
    """How much noise a level means, from the model's own scheduler."""

    def __init__(self, scheduler: Any, family: Family, objective: Objective, device: torch.device) -> None:
        """Raises: RequestError for a scheduler whose prediction is not the velocity, or min-SNR with a flow."""
        self.family, self.objective = family, objective
        self.alphas: Tensor | None = None
        if family.learns == "diffusion":
            kind = scheduler.config.prediction_type
            if kind != "v_prediction":
                raise RequestError(
                    f"a model of prediction_type {kind!r} cannot be fine-tuned here", param="model"
                )
            self.alphas = scheduler.alphas_cumprod.float().to(device)
        elif objective.min_snr is not None:
            raise RequestError("objective.min_snr is for diffusions; this model is a flow", param="min_snr")

    def noised(self, clean: Tensor, generator: torch.Generator) -> Noised:
        """Draw levels and noise for a batch of clean latents."""
        share = self._shares(len(clean), generator, clean.device)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        if self.alphas is None:
            sigma = share.view(-1, *(1,) * (clean.ndim - 1))
            noisy = sigma * noise + (1 - sigma) * clean
            return Noised(noisy, self.family.flow_target(clean, noise), share, torch.ones_like(share))
        level = (share * len(self.alphas)).long().clamp_max(len(self.alphas) - 1)
        alpha = self.alphas[level]
        weight = torch.ones_like(alpha)
        if self.objective.min_snr is not None:
            # min-SNR for the velocity: min(snr, gamma) / (snr + 1). Source: arXiv 2303.09556, section 3.4.
            snr = alpha / (1 - alpha).clamp_min(1e-8)
            weight = snr.clamp_max(self.objective.min_snr) / (snr + 1)
        alpha = alpha.view(-1, *(1,) * (clean.ndim - 1))
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        return Noised(noisy, alpha.sqrt() * noise - (1 - alpha).sqrt() * clean, level, weight)

    def _shares(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """How far towards pure noise each sample is. Range: 0..1."""
        if self.objective.timesteps == "logit-normal":
            return torch.randn(count, generator=generator, device=device).sigmoid()
        lot = torch.rand(count, generator=generator, device=device)
        if self.objective.timesteps == "stratified":
            places = torch.randperm(count, generator=generator, device=device)
            return (places + lot) / count
        return lot


def weighted_error(made: Tensor, noised: Noised) -> Tensor:
    """Mean square error of each clip, weighed."""
    return (noised.weight * (made.float() - noised.target).square().flatten(1).mean(1)).mean()
