"""Suites: the same items for every algorithm, so that only the algorithms differ."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vitascope.errors import InvalidMedia, NotFound, UnknownName, invalid_value
from vitascope.task import Task
from vitascope.workflows.generate import task_from


class Item(BaseModel):
    """One thing to make: a prompt, with a picture or a clip or neither, and a seed.

    Paths are relative to the suite's file. `fields` are further fields of the task, such as num_frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")
    category: str = ""
    prompt: str
    seed: int = Field(0, ge=0)
    image: Path | None = None
    video: Path | None = None
    fields: dict[str, Any] = Field(default_factory=dict)

    def task(self) -> Task:
        """The item as a task. Raises: RequestError, NotFound, InvalidMedia."""
        return task_from(self.prompt, self.image, self.video, seed=self.seed, **self.fields)


class Suite(BaseModel):
    """Items that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str = ""
    items: tuple[Item, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _own_ids(self) -> Self:
        ids = [item.id for item in self.items]
        if repeated := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"the id {repeated[0]!r} stands for two items")
        return self


def suite_names() -> list[str]:
    """Suites that come with the package."""
    folder = files("vitascope.evaluation").joinpath("prompts")
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


@cache
def _own_suite(name: str) -> Suite:
    with as_file(files("vitascope.evaluation").joinpath("prompts", f"{name}.yaml")) as path:
        return read_suite(path)


def find_suite(name: str) -> Suite:
    """A suite that comes with the package, or one from a YAML file.

    Raises: UnknownName, NotFound, InvalidMedia.
    """
    if name in suite_names():
        return _own_suite(name)
    if Path(name).suffix in (".yaml", ".yml"):
        return read_suite(name)
    raise UnknownName("suite", name, suite_names(), param="suite")


def read_suite(path: str | Path) -> Suite:
    """A suite from a YAML file. Raises: NotFound, InvalidMedia with the field that is wrong."""
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"no suite at {str(path)!r}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        suite = Suite.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidMedia(f"{str(path)!r} is not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        raise InvalidMedia(f"{str(path)!r}: {invalid_value(error, 'suite')}") from error
    return suite.model_copy(update={"items": tuple(_placed(item, path.parent) for item in suite.items)})


def _placed(item: Item, folder: Path) -> Item:
    found = {
        name: folder / value for name in ("image", "video") if (value := getattr(item, name)) is not None
    }
    return item.model_copy(update=found)
