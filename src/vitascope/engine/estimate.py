"""Time and memory of a generation before anything is loaded, for GPUs that need not be here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from vitascope.engine.calibration import Calibration, committed
from vitascope.engine.estimated_memory import peaks
from vitascope.engine.estimated_time import num_computed, part_seconds, step_seconds
from vitascope.engine.levers import Levers
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.placement import Placement
from vitascope.engine.plan_words import reasons, too_much
from vitascope.engine.planned_run import PlannedRun
from vitascope.engine.subject import Gpu
from vitascope.engine.workload import Architecture, Wanted


class Estimate(BaseModel):
    """What is predicted, and why. Units: seconds, GiB a GPU, FLOP.

    `seconds` by part is for compiled code that is already in the cache and modules that are loaded; a part is None
    where it was never measured so, all are where the steps were not measured on this device. `gib` is the peak while
    each part runs, of what torch allocates; CUDA's own comes on top of it. `room_gib` is what a GPU may use; None on
    a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    layout: Layout
    levers: Levers
    num_tokens: int
    num_computed_steps: int
    seconds_per_step: float | None
    seconds: dict[str, float | None] | None
    weights_gib: dict[str, float]
    gib: dict[str, float]
    context_gib: float
    room_gib: float | None
    step_flop: float
    because: tuple[str, ...]

    @property
    def total_s(self) -> float | None:
        """All parts together; None where one is not known."""
        known = [each for each in (self.seconds or {}).values() if each is not None]
        return sum(known) if self.seconds and len(known) == len(self.seconds) else None

    @property
    def peak_gib(self) -> float:
        """The most that one GPU needs, CUDA's own included."""
        return max(self.gib.values()) + self.context_gib

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.room_gib is None or self.peak_gib <= self.room_gib


def estimate(
    sizes: Architecture,
    wanted: Wanted,
    placement: Placement,
    gpu: Gpu | None,
    calibration: Calibration | None = None,
    *,
    splits: tuple[str, ...] = ("guidance", "tokens"),
) -> Estimate:
    """Predict one clip on `placement.gpus` GPUs like `gpu`, which need not be here (None: the CPU).

    Raises: RequestError, ResourceError for a placement that this model or device cannot have; OutOfMemory where
    `memory_gib` is too little.
    """
    run = PlannedRun.of(sizes, wanted, placement, gpu, calibration or committed(), splits)
    seconds = part_seconds(run)
    made = Estimate(
        device=run.device or (gpu.name if gpu else "CPU"),
        layout=run.layout,
        levers=run.levers,
        num_tokens=run.num_tokens,
        num_computed_steps=num_computed(run),
        seconds_per_step=step_seconds(run),
        seconds=seconds,
        weights_gib=run.weights_gib,
        gib=peaks(run),
        context_gib=run.calibration.other.context_gib if gpu else 0.0,
        room_gib=min(gpu.memory_gib, placement.memory_gib or gpu.memory_gib) if gpu else None,
        step_flop=run.step_flop,
        because=reasons(run, timed=seconds is not None),
    )
    if made.room_gib is None or made.fits:
        return made
    said = too_much(run, made.gib, made.peak_gib, made.room_gib)
    return made.model_copy(update={"because": (*made.because, said)})
