"""What made a clip, written so that it can be made again.

A recipe travels with its clip through every room and ends in the container's metadata.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

import vitascope


class Stage(BaseModel):
    """One thing that was done to reach a clip: a generation, or one step's work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str  # "generator", "step" or "file"
    name: str
    knobs: dict[str, Any] = Field(default_factory=dict)
    # what a generator was asked to make, completed with defaults; what a step around one was given to prepare
    task: dict[str, Any] | None = None
    notes: dict[str, Any] = Field(default_factory=dict)  # what a reader should know, such as a padded edge


class AigcLabel(BaseModel):
    """The statement that a file was generated, field by field as GB 45438-2025 names them.

    Range: label "1" is generated, "2" may be, "3" is suspected to be.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_pascal,
        populate_by_name=True,
        coerce_numbers_to_str=True,
    )

    label: str = "1"
    content_producer: str = ""
    produce_id: str = Field("", alias="ProduceID")
    reserved_code1: str = ""
    content_propagator: str = ""
    propagate_id: str = Field("", alias="PropagateID")
    reserved_code2: str = ""


class Labels(BaseModel):
    """How a clip says that it was generated: `aigc` with the visible mark, and signed content credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aigc: AigcLabel | None = None
    c2pa: bool = False

    @property
    def words(self) -> str:
        """Them as a flag writes them: cn, c2pa, cn,c2pa or none."""
        return ",".join(["cn"] * (self.aigc is not None) + ["c2pa"] * self.c2pa) or "none"


class Recipe(BaseModel):
    """The stages that made a clip, in order, and the versions that they ran on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vitascope: str = vitascope.__version__
    stages: tuple[Stage, ...] = ()
    placement: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)  # "torch": "2.13.0", "device": "cpu"
    labels: Labels = Field(default_factory=Labels)  # written into every file that the clip becomes

    def then(self, stage: Stage) -> Recipe:
        """This recipe with one more stage at its end."""
        return self.model_copy(update={"stages": (*self.stages, stage)})

    def asked(self, task: dict[str, Any]) -> Recipe:
        """This recipe whose last stage says what task it was given."""
        return self.model_copy(
            update={"stages": (*self.stages[:-1], self.stages[-1].model_copy(update={"task": task}))}
        )

    def with_note(self, key: str, value: Any) -> Recipe:
        """This recipe with a note added to its last stage.

        Raises: ValueError if there is no stage to carry the note.
        """
        if not self.stages:
            raise ValueError(f"a recipe without stages cannot carry the note {key!r}")
        last = self.stages[-1]
        noted = last.model_copy(update={"notes": {**last.notes, key: value}})
        return self.model_copy(update={"stages": (*self.stages[:-1], noted)})
