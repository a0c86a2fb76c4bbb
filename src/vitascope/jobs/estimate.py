"""Estimate a job before it is queued: from earlier jobs of its model here, else from a plan for its GPU."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from vitascope.clip import Clip
from vitascope.engine.calibration import committed
from vitascope.engine.estimate import Estimate
from vitascope.engine.memory import component_gib
from vitascope.engine.placement import Placement
from vitascope.engine.weights import local_path
from vitascope.errors import RequestError, UnsupportedTask, VitascopeError
from vitascope.generators import Generator
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.order import Prepared
from vitascope.workflows.plan import plan

FRESH_S = 30.0
SMALLEST_DTYPE = "bfloat16"
ALIVE_S = 60.0


class CannotFit(RequestError):
    """No worker of this service can ever run the job."""

    @property
    def code(self) -> str:
        """The error's code in the API."""
        return "cannot_fit"


def work_of(prepared: Prepared) -> float | None:
    """How much is denoised, in pixels times steps; None for a job that generates nothing."""
    generator, task = prepared.chain.generator, prepared.start
    if generator is None or isinstance(task, Clip):
        return None
    try:
        task = generator.complete(task)
    except UnsupportedTask:  # a step around the generator will change the task
        return None
    steps = getattr(generator, "num_inference_steps", None)
    if steps is None and hasattr(generator, "profile"):
        steps = generator.profile().num_inference_steps
    if not (task.width and task.height and task.num_frames and steps):
        return None
    return float(task.width * task.height * task.num_frames * steps)


@dataclass
class Estimator:
    """Estimates for one service; what it reads in the ledger it keeps for half a minute."""

    ledger: Ledger
    _paces: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    _weights: dict[str, float | None] = field(default_factory=dict)
    _largest: tuple[float, tuple[float, str]] = (0.0, (0.0, ""))

    def estimate(self, prepared: Prepared, model: str) -> dict[str, Any]:
        """`seconds` once it runs and `memory_gib`, each None where nothing is known.

        Memory is the peak where a plan can be made for the workers' GPU, else that of the weights.

        Raises: CannotFit if no living worker has so much memory.
        """
        needed = self.check_room(prepared.chain.generator, model)
        work, pace, planned = work_of(prepared), self._pace(model), self._plan(prepared)
        seconds = work * pace if work is not None and pace is not None else None
        if planned is not None:
            seconds = planned.total_s if seconds is None else seconds
            needed = planned.peak_gib
        return {
            "seconds": None if seconds is None else round(seconds, 1),
            "memory_gib": None if needed is None else round(needed, 2),
        }

    def check_room(self, generator: Generator | None, model: str) -> float | None:
        """What the weights take, None where nothing is known of them. Units: GiB.

        Raises: CannotFit if no living worker has so much memory.
        """
        needed, room = self._weights_of(generator), self._largest_worker()[0]
        if needed is not None and room and needed > room:
            raise CannotFit(
                f"{model} needs {needed:.1f} GiB for its weights alone, and the largest worker has {room:.1f} GiB",
                param="model",
            )
        return needed

    def _plan(self, prepared: Prepared) -> Estimate | None:
        """A plan for the GPU of the largest worker; None for other models, GPUs that were never measured, CPUs."""
        generator, task, device = prepared.chain.generator, prepared.start, self._largest_worker()[1]
        calibration = committed()
        known = calibration.device_called(device.partition(" ")[2])  # "cuda:0 NVIDIA H200"
        gpu = calibration.gpu(known) if known else None
        if generator is None or isinstance(task, Clip) or gpu is None:
            return None
        try:
            return plan(generator, generator.complete(task), Placement(), gpu)
        except VitascopeError:
            return None

    def _pace(self, model: str) -> float | None:
        """Seconds for a unit of work, as the last jobs of the model had them."""
        read_at, pace = self._paces.get(model, (0.0, None))
        if time.monotonic() - read_at > FRESH_S or read_at == 0.0:
            results = [job.result for job in self.ledger.finished(model, limit=20)]
            paces = [r["inference_time_s"] / r["work"] for r in results if r.get("work")]
            pace = median(paces) if paces else None
            self._paces[model] = (time.monotonic(), pace)
        return pace

    def _largest_worker(self) -> tuple[float, str]:
        """Memory and device of the living worker that has most; (0, "") if none lives."""
        read_at, largest = self._largest
        if time.monotonic() - read_at > FRESH_S or read_at == 0.0:
            alive = [slot for slot in self.ledger.slots().values() if time.time() - slot.seen_at < ALIVE_S]
            largest = max(((slot.memory_gib, slot.device) for slot in alive), default=(0.0, ""))
            self._largest = (time.monotonic(), largest)
        return largest

    def _weights_of(self, generator: Generator | None) -> float | None:
        """What must be loaded at once in the smallest way; None where the weights are not on this machine."""
        if generator is None or not hasattr(generator, "source"):
            return None
        name = str(getattr(generator, "model", generator.name))
        if name not in self._weights:
            try:
                sizes = component_gib(local_path(generator.source(), offline=True), SMALLEST_DTYPE)
                self._weights[name] = sum(sizes.values()) or None
            except (VitascopeError, OSError):
                self._weights[name] = None
        return self._weights[name]
