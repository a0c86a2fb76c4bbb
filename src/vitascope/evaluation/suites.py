"""Suites: the same items for every algorithm, so that only the algorithms differ."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vitascope.errors import InvalidMedia, NotFound, UnknownName, invalid_value
from vitascope.media import read_image
from vitascope.poses import PoseSequence
from vitascope.task import MotionToVideo, Task, TrajectoryToVideo
from vitascope.tracks import Trajectories
from vitascope.workflows.generate import task_from

FILES = ("image", "video", "poses", "trajectories")


class Item(BaseModel):
    """One thing to make: a prompt and a seed, and what else it is made from.

    Nothing more: text to video. `image`: the first frame. `video`: a clip to make again. `image` and `poses`: the
    picture's person moves as the poses do. `trajectories`, with or without `image`: things follow drawn paths.
    Paths of files are relative to the suite's file. `fields` are further fields of the task, such as num_frames.
    `answer`: for a prompt of the toy world, its number in the list of held-out prompts, whose scene is known.
    `dimensions`: of VBench, that its clip is made for; metrics of other dimensions leave it out. `about`: what
    metrics want to know of it beside the prompt, by their knobs' names, such as `scene` or `object_class`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")
    category: str = ""
    prompt: str
    seed: int = Field(0, ge=0)
    image: Path | None = None
    video: Path | None = None
    poses: Path | None = None
    trajectories: Path | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    answer: int | None = Field(None, ge=0)
    dimensions: tuple[str, ...] = ()
    about: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("video", "poses", "trajectories") if getattr(self, name) is not None]
        if len(given) > 1 or (self.video is not None and self.image is not None):
            names = ", ".join([*(["image"] if self.image else []), *given])
            raise ValueError(f"item {self.id!r} mixes kinds of tasks: {names}")
        if self.poses is not None and self.image is None:
            raise ValueError(f"item {self.id!r} has poses and no image of whom they move")
        return self

    @property
    def task_code(self) -> str:
        """The board that votes on it belong to, by the catalogue's names of tasks."""
        if self.trajectories is not None:
            return "trajectory-t2v" if self.image is None else "trajectory-i2v"
        if self.poses is not None:
            return "motion"
        return "v2v" if self.video is not None else "t2v" if self.image is None else "i2v"

    def task(self) -> Task:
        """The item as a task. Raises: RequestError, NotFound, InvalidMedia."""
        words = {"prompt": self.prompt, "seed": self.seed, **self.fields}
        if self.trajectories is not None:
            image = None if self.image is None else read_image(self.image)
            return TrajectoryToVideo.of(
                trajectories=Trajectories.read(self.trajectories), image=image, **words
            )
        if self.poses is not None and self.image is not None:
            return MotionToVideo.of(
                poses=PoseSequence.read(self.poses), image=read_image(self.image), **words
            )
        return task_from(image=self.image, video=self.video, **words)


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

    @property
    def task_code(self) -> str:
        """The tasks of its items, joined: boards of different tasks are kept apart."""
        return "+".join(self.task_codes)

    @property
    def task_codes(self) -> tuple[str, ...]:
        """The tasks of the suite; each gets a board of its own."""
        return tuple(sorted({item.task_code for item in self.items}))

    def first(self, limit: int | None) -> Self:
        """The suite with no more than its first `limit` items."""
        return self if limit is None else self.model_copy(update={"items": self.items[:limit]})


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
    """A suite that comes with the package, one from a YAML file, or VBench's list of prompts (.json).

    Raises: UnknownName, NotFound, InvalidMedia.
    """
    if name in suite_names():
        return _own_suite(name)
    if Path(name).suffix in (".yaml", ".yml"):
        return read_suite(name)
    if Path(name).suffix == ".json":
        return read_vbench_prompts(name)
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
    found = {name: folder / value for name in FILES if (value := getattr(item, name)) is not None}
    return item.model_copy(update=found)


def read_vbench_prompts(path: str | Path, num_seeds: int = 1) -> Suite:
    """VBench's own list: objects with `prompt_en` and `dimension`, some with `auxiliary_info`.

    Its convention is five seeds a prompt. Raises: NotFound, InvalidMedia with the entry that is wrong.
    Source: VBench_full_info.json of github.com/Vchitect/VBench at 45e79ec.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"no suite at {str(path)!r}")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InvalidMedia(f"{str(path)!r} is not VBench's list of prompts: {error!r}") from error
    if not isinstance(entries, list) or not entries:
        raise InvalidMedia(f"{str(path)!r} is not VBench's list of prompts: it must be a list with items")
    items = [
        item.model_copy(update={"id": f"{number:04d}-{seed}", "seed": seed})
        for number, entry in enumerate(entries)
        for item in [_vbench_item(path, number, entry)]
        for seed in range(num_seeds)
    ]
    return Suite(name=path.stem, summary=f"{len(entries)} prompts of VBench", items=tuple(items))


def _vbench_item(path: Path, number: int, entry: Any) -> Item:
    try:
        dimensions = tuple(str(name) for name in entry["dimension"])
        about = _vbench_about(dimensions, entry["prompt_en"], entry.get("auxiliary_info", {}))
        return Item(
            id=f"{number:04d}",
            category=dimensions[0],
            prompt=entry["prompt_en"],
            dimensions=dimensions,
            about=about,
        )
    except ValidationError as error:
        raise InvalidMedia(f"{str(path)!r}, entry {number}: {invalid_value(error, 'suite')}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidMedia(
            f"{str(path)!r} is not VBench's list of prompts: entry {number}: {error!r}"
        ) from error


def _vbench_about(dimensions: tuple[str, ...], prompt: str, said: dict[str, Any]) -> dict[str, str]:
    """What VBench says of a prompt beside its words, by the names that our metrics know it under."""
    about: dict[str, str] = {}
    if "object_class" in said:
        about["object_class"] = said["object_class"]["object"]
    if "multiple_objects" in said:
        about["objects"] = said["multiple_objects"]["object"]
    if "color" in said:
        colour = said["color"]["color"]
        words = [word for word in prompt.split() if word not in ("a", "an", colour)]
        about |= {"colour": colour, "colour_of": " ".join(words)}
    if "spatial_relationship" in said:
        stands = said["spatial_relationship"]["spatial_relationship"]
        about |= {"object_a": stands["object_a"], "object_b": stands["object_b"]}
        about["relation"] = stands["relationship"]
    if "scene" in said:
        about["scene"] = said["scene"]["scene"]["scene"]
    if "appearance_style" in said:
        about["style"] = said["appearance_style"]["appearance_style"]
    if "human_action" in dimensions:
        about["action"] = prompt.lower().split("person is ")[-1].strip(" .")
    return about
