"""What one run of `vitascope bench` measured, as it is kept."""

from __future__ import annotations

import statistics
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

AS_IS = "diffusers"
Start = Literal["cold", "warm"]  # graphs were compiled, or all taken from those that an earlier process kept


class Timing(BaseModel):
    """One way of running a model. Units: seconds, GiB."""

    model_config = ConfigDict(extra="forbid")

    levers: dict[str, Any] = Field(default_factory=dict)
    first_step_s: float | None = None
    first_step: Start | None = None
    steps_s: list[float] = Field(default_factory=list)
    step_peak_gib: float | None = None
    relative_error: float | None = None
    decode_first_s: float | None = None
    decode_first: Start | None = None
    decodes_s: list[float] = Field(default_factory=list)
    decode_peak_gib: float | None = None
    decode_alone_gib: float | None = None  # with the VAE's weights, without the other models' on the card
    decode_relative_error: float | None = None
    finish_s: float | None = None  # from latents to a finished MP4
    num_computed_steps: int | None = None  # of one clip, where its schedule leaves steps out
    clip_s: float | None = None
    clip_steps_s: list[float] = Field(default_factory=list)  # from step to step as the loop passed them
    clip_peak_gib: float | None = None
    clip_device_gib: float | None = None  # as the card sees it: with what torch reserves and CUDA's own
    first_clip_s: float | None = None
    num_denoiser_calls: int | None = None
    failed: str | None = None

    @property
    def step_s(self) -> float | None:
        """The median time of a step. Units: seconds."""
        return statistics.median(self.steps_s) if self.steps_s else None

    @property
    def decode_s(self) -> float | None:
        """The median time of a decode. Units: seconds."""
        return statistics.median(self.decodes_s) if self.decodes_s else None


class BenchResult(BaseModel):
    """All that one run measured, and where. Units: took_s in seconds, the command from its start."""

    model_config = ConfigDict(extra="forbid")

    model: str
    weights: str = "random"
    task: dict[str, Any]
    num_steps: int
    environment: dict[str, str]
    date: str
    floor_step_s: float | None = None
    step_pflop: float | None = None
    timings: dict[str, Timing] = Field(default_factory=dict)
    left_out: list[str] = Field(default_factory=list)
    stopped: bool = False  # by Ctrl-C
    took_s: dict[str, float] = Field(default_factory=dict)
