"""The base class of every metric, and the score that it gives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from math import isfinite
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.shelf import Item

Tier = Literal["exact", "variant", "needs weights", "published"]
Direction = Literal["higher", "lower", "neither"]


class Score(BaseModel):
    """One number about one clip, or why there is none. A missing measurement is never a zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float | None
    unit: str
    not_measured: str | None = None  # the reason, and the file that it needs


class Metric(Item):
    """Measures one thing of a clip.

    `tier`: "exact" reproduces the published definition, "variant" is ours and says how it differs,
    "needs weights" cannot run without a file, "published" is quoted and never measured here.
    """

    unit: ClassVar[str]
    range: ClassVar[tuple[float | None, float | None]]
    direction: ClassVar[Direction]
    tier: ClassVar[Tier]
    source: ClassVar[str]
    needs_reference: ClassVar[bool] = False
    #: Whether it cannot run without a file; a variant may need one too.
    needs_weights: ClassVar[bool] = False

    @abstractmethod
    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:
        """Measure `clip`. Raises: RequestError if it is too short, or a reference is needed and missing."""

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        if getattr(cls, "tier", None) == "needs weights":
            cls.needs_weights = True

    def modules_key(self) -> Hashable:
        """Equal for two records that can share loaded modules; None where there are none to keep."""
        return None if type(self).load is Metric.load else self.model_dump_json()

    def load(self, placement: Placement) -> Any:  # noqa: ARG002
        """The modules that `score` needs; None if it needs none. Raises: WeightsMissing."""
        return None

    def scored(self, value: float) -> Score:
        """A score of this metric; what came out as no number is not measured."""
        if not isfinite(value):
            return self.unmeasured(f"its value is {value}, which is no number")
        return Score(metric=self.name, value=float(value), unit=self.unit)

    def unmeasured(self, reason: str) -> Score:
        """A score that says why there is no number."""
        return Score(metric=self.name, value=None, unit=self.unit, not_measured=reason)
