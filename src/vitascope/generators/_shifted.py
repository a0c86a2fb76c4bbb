"""Flow models whose noise schedule can be shifted towards more or less noise."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from vitascope.engine.pipelines import LoadedPipeline
from vitascope.generators._diffusers import DiffusersGenerator


class Shifted(DiffusersGenerator):
    """A family with the knob `flow_shift`: more of it spends more steps on high noise, where the motion is decided."""

    flow_shift: float | None = Field(None, gt=0, le=100, description="None: the model's own")

    def shift(self) -> float | None:
        """The shift to run at; None leaves the one that the scheduler was saved with."""
        return self.flow_shift

    def new_scheduler(self, modules: LoadedPipeline, name: str | None) -> Any:
        """As for every family, shifted; the key differs between scheduler classes."""
        scheduler = super().new_scheduler(modules, name)
        if self.shift() is None:
            return scheduler
        key = "flow_shift" if "flow_shift" in scheduler.config else "shift"
        return modules.new_scheduler(self.schedulers[name] if name else None, {key: self.shift()})
