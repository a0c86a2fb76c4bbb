"""The rectified-flow schedule of Open-Sora 1.2: straight paths, more steps near noise for big videos.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/schedulers/rf/, Apache-2.0; rectified
flow is arXiv 2209.03003, the size-dependent timesteps follow arXiv 2403.03206, section 5.3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor


@dataclass
class RectifiedFlowOutput(BaseOutput):
    """One step's result."""

    prev_sample: Tensor


class OpenSoraScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Euler steps along the velocity `clean - noise`, from timestep 1000 (noise) to 0 (clean)."""

    order = 1
    config: Any

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,  # noqa: ARG002
        use_timestep_transform: bool = True,  # noqa: ARG002
        use_discrete_timesteps: bool = False,  # noqa: ARG002
        base_resolution: int = 512,  # noqa: ARG002
        frames_per_chunk: int = 17,  # noqa: ARG002
        latent_frames_per_chunk: int = 5,  # noqa: ARG002
    ) -> None:
        self.timesteps = torch.empty(0)
        self.num_inference_steps: int | None = None

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: torch.device | str | None = None,
        *,
        height: int = 512,
        width: int = 512,
        num_frames: int = 1,
    ) -> None:
        """Lay out the timesteps for a video of this size.

        Units: pixels, and pixel frames.
        Raises: ValueError where upstream's formula has no answer, for a video shorter than one chunk.
        """
        num_train = self.config.num_train_timesteps
        timesteps = (
            1 - torch.arange(num_inference_steps, dtype=torch.float64) / num_inference_steps
        ) * num_train
        timesteps = (timesteps.round() if self.config.use_discrete_timesteps else timesteps).float()
        if self.config.use_timestep_transform:
            ratio = self._timestep_ratio(height, width, num_frames)
            share = timesteps / num_train
            timesteps = ratio * share / (1 + (ratio - 1) * share) * num_train
        # Rounding must not lift the first timestep above num_train: frames to be made would count as kept.
        self.timesteps = timesteps.clamp(max=num_train).to(device)
        self.num_inference_steps = num_inference_steps

    def _timestep_ratio(self, height: int, width: int, num_frames: int) -> Tensor:
        chunk = self.config.frames_per_chunk
        if 1 < num_frames < chunk:
            raise ValueError(f"no timesteps for {num_frames} frames: use 1 or at least {chunk}")
        latent_frames = 1 if num_frames == 1 else num_frames // chunk * self.config.latent_frames_per_chunk
        space = torch.tensor(float(height) * width) / self.config.base_resolution**2
        return space.sqrt() * torch.tensor(float(latent_frames)).sqrt()

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, return_dict: bool = True
    ) -> RectifiedFlowOutput | tuple[Tensor]:
        """Walk from `timestep` to the next one along the predicted velocity."""
        index = self.index_for_timestep(timestep)
        later = self.timesteps[index + 1] if index + 1 < len(self.timesteps) else 0.0
        prev_sample = sample + model_output * (
            (self.timesteps[index] - later) / self.config.num_train_timesteps
        )
        return RectifiedFlowOutput(prev_sample) if return_dict else (prev_sample,)

    def index_for_timestep(self, timestep: Tensor) -> int:
        """The number of the step that starts at `timestep`."""
        found = (self.timesteps == timestep.to(self.timesteps.device)).nonzero()
        if len(found) == 0:
            raise ValueError(
                f"timestep {float(timestep)} is not one of this schedule's {len(self.timesteps)}"
            )
        return int(found[0])

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Blend clean samples with noise as far as `timesteps` (one, or one a sample) says."""
        share = (timesteps / self.config.num_train_timesteps).to(original_samples)
        share = share.view(-1, *[1] * (original_samples.ndim - 1))
        return (1 - share) * original_samples + share * noise

    def __len__(self) -> int:
        return self.config.num_train_timesteps
