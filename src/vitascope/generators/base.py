"""The base class of every generator, and the published models that it knows by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.engine.weights import fingerprints
from vitascope.errors import UnsupportedTask
from vitascope.language.styles import STYLES
from vitascope.recipe import Stage
from vitascope.shelf import Item
from vitascope.task import Task

TaskT = TypeVar("TaskT", bound=Task)


class KnownModel(BaseModel):
    """Published weights that a generator loads by a short name.

    `repo`: the hub id, or None for weights that come in the package `vitascope-embedded`. `aliases`: other
    hub ids of the same files. `tasks`: kinds by name. `card`: the catalogue's, which says how the model is built
    and, unless `licence` does, under which terms. Units: download_gib in GiB (2**30 bytes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    repo: str | None
    aliases: tuple[str, ...] = ()
    revision: str | None = None
    card: str | None = None
    licence: str = ""
    download_gib: float | None = Field(None, ge=0)
    tasks: tuple[str, ...]
    note: str = ""
    source: str = ""

    def is_called(self, model: str) -> bool:
        """Whether `model` is the name, the hub id or an alias of these weights."""
        return model in (self.name, self.repo, *self.aliases)


class Part(BaseModel):
    """What a generator needs of one repository of the hub.

    `patterns`: files of parts published on their own; empty for a whole model in diffusers layout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repo: str
    revision: str | None = None
    patterns: tuple[str, ...] = ()


class Generator(Item):
    """Makes clips from tasks. A frozen record of knobs; modules are handed in.

    A run is: `complete` (family defaults filled in, limits checked, nothing loaded), the engine's `load`,
    then `generate`.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = ()
    models: ClassVar[tuple[KnownModel, ...]] = ()
    # How the denoiser may be split over devices: "guidance" (samples of a batch), "tokens" (of each sample)
    splits: ClassVar[tuple[str, ...]] = ()
    pipelines: ClassVar[tuple[str, ...]] = ()  # `_class_name`s in model_index.json that this family loads

    @classmethod
    def known_model(cls, model: str) -> KnownModel | None:
        """The published weights called `model` (short name, hub id or alias); None for any other string."""
        return next((known for known in cls.models if known.is_called(model)), None)

    @classmethod
    def recognises(cls, path: Path) -> bool:  # noqa: ARG003
        """Whether a folder without model_index.json, or a single file, holds weights of this family.

        Looks at names, keys and sizes only.
        """
        return False

    def prompt_style(self) -> str:
        """The name in `vitascope.language.styles` of the prompts that this model likes."""
        return self.name if self.name in STYLES else "plain"

    def complete(self, task: TaskT) -> TaskT:
        """The task with this family's defaults filled in, checked against its limits.

        Loads no weights. Raises: UnsupportedTask, with the nearest valid value in the message.
        """
        self.check_kind(task)
        return task

    def check_kind(self, task: Task) -> None:
        """Raises: UnsupportedTask if this generator does not make this kind of task."""
        if not isinstance(task, self.accepts):
            kinds = ", ".join(kind.kind for kind in self.accepts)
            raise UnsupportedTask(f"{self.name} makes {kinds}, not {task.kind}", param="kind")

    def parts(self) -> tuple[Part, ...]:
        """What `load` will want from the hub, here already or not; nothing for weights that are local files."""
        return ()

    def contents(self) -> list[str]:
        """Fingerprints of the local files and folders that decide its clips: their content may change."""
        return fingerprints(self.model_dump())

    def modules_key(self) -> Hashable:
        """Equal for two records that can share loaded modules."""
        return self.model_dump_json()

    @abstractmethod
    def load(self, placement: Placement) -> Any:
        """The modules, placed as `placement` (resolved) says; None if there are none.

        Raises: WeightsMissing, InvalidMedia (weights of another family), OutOfMemory, NoNetwork.
        """

    @abstractmethod
    def generate(self, tasks: Sequence[Task], modules: Any, context: Context) -> list[Clip]:
        """One clip for each completed task, in order; progress and cancellation once a denoising step.

        More than one task is one batch: the last bits may differ from one at a time, and the recipes say so.
        Raises: JobCancelled, OutOfMemory, RunError.
        """

    def batches_guidance(self) -> bool:
        """Whether the denoiser sees the prompt and the negative prompt as two samples of one batch."""
        return False

    def stage(self, task: Task, **notes: Any) -> Stage:
        """This generator's entry in the recipe of a clip made from `task`."""
        return Stage(
            kind="generator",
            name=self.name,
            knobs=self.model_dump(mode="json"),
            task=task.described(),
            notes=notes,
        )
