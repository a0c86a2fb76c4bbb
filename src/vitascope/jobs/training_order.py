"""A fine-tuning as a job: what a client may ask for, checked whole before it is queued.

A recipe names its data without a path: `uploads` is what came with the request, any other name a folder that the
operator has put among the service's `datasets`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.errors import InvalidMedia, RequestError, UnknownName
from vitascope.jobs.artifacts import Artifacts
from vitascope.jobs.house import DATA, DATASETS, RUN
from vitascope.jobs.uploads import Uploads
from vitascope.media import probe, read
from vitascope.media._pictures import picture_format
from vitascope.task import MAX_PROMPT_CHARACTERS, Task, TextToVideo, VideoToVideo
from vitascope.training.dataset import collect
from vitascope.training.recipe import DataSource, Recipe, refusal
from vitascope.training.trainable import buckets_of, check_trainable

UPLOADS, CAPTIONS, PICTURES = "uploads", "captions.jsonl", "pictures"
MAX_CLIPS = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


class TrainingClip(BaseModel):
    """One uploaded clip or picture of a request, and what it shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_id: str = Field(max_length=64)
    caption: str = Field("", max_length=MAX_PROMPT_CHARACTERS)


class TrainingOrder(BaseModel):
    """A fine-tuning as it stands in a job's record; its clips are in the job's folder.

    `epochs`: the recipe's steps are to follow from the number of clips. `source`: what the client called the data.
    `metadata`: the client's own words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    num_clips: int = 0
    epochs: int | None = None
    source: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Enrolment:
    """What the door needs to check a tenant's fine-tuning and to put its data into the job's folder."""

    uploads: Uploads
    artifacts: Artifacts
    tenant: str
    folder: Path

    def enrol(self, order: TrainingOrder, clips: Sequence[TrainingClip]) -> TrainingOrder:
        """The order with its counts filled in and its data in place.

        Raises: UnknownName, UnsupportedTask, NotFound, InvalidMedia, RequestError.
        """
        recipe = order.recipe
        _refuse_what_is_the_services(recipe)
        if not _NAME.fullmatch(recipe.name):
            raise RequestError(f"name={recipe.name!r}: use Latin letters, digits, - and _", param="name")
        buckets = buckets_of(check_trainable(recipe), recipe)
        if clips:
            self._take_clips(clips)
        for number, file_id in enumerate(recipe.validation.images):
            self._take_picture(str(file_id), number)
        here = localised(recipe, self.folder, self.artifacts)
        try:
            found = collect(here.data)
        except RequestError as error:
            raise RequestError(self._with_names(str(error), recipe, here), param=error.param) from error
        if clips:
            self._refuse_if_all_too_short(min(frames for *_, frames in buckets))
        if order.epochs is not None:
            each = recipe.batch_size * recipe.accumulate
            steps = max(1, round(order.epochs * len(found.samples) / each))
            recipe = recipe_of({**recipe.model_dump(), "steps": steps})
        return order.model_copy(update={"recipe": recipe, "num_clips": len(found.samples)})

    def brought(self, order: TrainingOrder) -> Iterator[Task]:
        """What a moderator should look at: the prompts of samples, and each uploaded clip with its caption."""
        for prompt in order.recipe.validation.prompts:
            yield TextToVideo(prompt=prompt)
        for sample in collect(localised(order.recipe, self.folder, self.artifacts).data).samples:
            if self.folder in sample.path.parents:
                yield VideoToVideo(prompt=sample.caption, video=read(sample.path))

    def _take_clips(self, clips: Sequence[TrainingClip]) -> None:
        """Copy uploads into the job's folder: a job keeps what it was asked with."""
        data = self.folder / DATA / UPLOADS
        data.mkdir(parents=True, mode=0o700)
        lines = []
        for number, clip in enumerate(clips):
            upload = self.uploads.find(clip.file_id, self.tenant)
            if upload.kind not in ("picture", "clip"):
                raise InvalidMedia(f"file {clip.file_id!r} is a {upload.kind}, not a clip", param="clips")
            source = self.uploads.path(clip.file_id, self.tenant)
            moving = ".gif" if picture_format(source) == "GIF" else ".mp4"
            name = f"{number:04d}{moving if upload.kind == 'clip' else '.png'}"
            shutil.copyfile(source, data / name)
            lines.append({"file": name, "caption": " ".join(clip.caption.split()), "name": upload.filename})
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (data / CAPTIONS).write_text(text, encoding="utf-8")

    def _take_picture(self, file_id: str, number: int) -> None:
        source = self.uploads.path(file_id, self.tenant, kind="picture")
        pictures = self.folder / DATA / PICTURES
        pictures.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(source, pictures / f"{number}.png")

    def _refuse_if_all_too_short(self, least: int) -> None:
        """Raises: InvalidMedia if no clip has `least` frames and none is a picture, which is a bucket of its own."""
        data, names = self.folder / DATA / UPLOADS, names_of_clips(self.folder)
        lengths = {path.name: probe(path).num_frames for path in sorted(data.iterdir()) if path.name in names}
        if not lengths or any(frames == 1 or frames >= least for frames in lengths.values()):
            return
        first = next(iter(lengths))
        raise InvalidMedia(
            f"every clip is too short: {names[first]!r} has {lengths[first]} frames, {least} are needed; send longer "
            "clips or set video.num_frames",
            param="clips",
        )

    def _with_names(self, message: str, recipe: Recipe, here: Recipe) -> str:
        """An error that names the data as the client does."""
        for said, meant in zip(recipe.data, here.data, strict=True):
            message = message.replace(str(meant.path), str(said.path))
        return with_clients_names(message, self.folder)


def datasets(artifacts: Artifacts) -> list[str]:
    """The folders of clips that the operator offers to all."""
    found = (artifacts.folder / DATASETS).glob("*")
    return sorted(path.name for path in found if path.is_dir() and _NAME.fullmatch(path.name))


def localised(recipe: Recipe, folder: Path, artifacts: Artifacts, device: str = "auto") -> Recipe:
    """The recipe with places of this machine in it: its data, pictures for samples, the folder of the run.

    Raises: UnknownName for a dataset that is not there.
    """
    validation = recipe.validation
    pictures = tuple(folder / DATA / PICTURES / f"{number}.png" for number in range(len(validation.images)))
    return recipe.model_copy(
        update={
            "data": tuple(_located(source, folder, artifacts) for source in recipe.data),
            "output": folder / RUN,
            "placement": recipe.placement.model_copy(update={"device": device}),
            "validation": validation.model_copy(update={"images": pictures}),
            "saving": recipe.saving.model_copy(update={"trackers": ()}),
        }
    )


def _located(source: DataSource, folder: Path, artifacts: Artifacts) -> DataSource:
    name, offered = str(source.path), datasets(artifacts)
    if name == UPLOADS:
        return source.model_copy(update={"path": folder / DATA / UPLOADS})
    if name not in offered:
        raise UnknownName("dataset", name, offered, param="data")
    return source.model_copy(update={"path": artifacts.folder / DATASETS / name})


def names_of_clips(folder: Path) -> dict[str, str]:
    """What the client called the clips in a job's folder, by their names there."""
    path = folder / DATA / UPLOADS / CAPTIONS
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["file"]: row["name"] or row["file"] for row in rows}


def with_clients_names(message: str, folder: Path) -> str:
    """A message that calls uploaded clips what their sender called them."""
    for here, name in names_of_clips(folder).items():
        message = message.replace(here, name)
    return message


def clips_in(text: str) -> list[TrainingClip]:
    """The clips that a training file lists, one JSON object a line. Raises: RequestError naming the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(TrainingClip(**json.loads(line)))
            except (ValueError, TypeError, RecursionError) as error:
                raise RequestError(
                    f'line {number} is not {{"file_id": "file-...", "caption": "..."}}', param="training_file"
                ) from error
    return found


def check_training_file(path: Path) -> None:
    """Check that an upload lists clips. Raises: InvalidMedia."""
    try:
        found = clips_in(path.read_text(encoding="utf-8"))
    except (RequestError, UnicodeDecodeError) as error:
        why = error if isinstance(error, RequestError) else "it is not text in UTF-8"
        raise InvalidMedia(f"the file is no list of clips: {why}", param="file") from error
    if not 1 <= len(found) <= MAX_CLIPS:
        raise InvalidMedia(f"the file lists {len(found)} clips; give 1 to {MAX_CLIPS}", param="file")


def _refuse_what_is_the_services(recipe: Recipe) -> None:
    """Raises: RequestError for settings that name a place, or that the worker decides."""
    place, saving = recipe.placement, recipe.saving
    captions = next((source.captions for source in recipe.data if source.captions), None)
    refused = {
        "revision": recipe.revision,
        "output": recipe.output,
        "data.captions": captions,
        "placement.device": place.device if place.device != "auto" else None,
        "placement.sharding": place.sharding if place.sharding != "none" else None,
        "placement.memory_gib": place.memory_gib,
        "saving.trackers": next((name for name in saving.trackers if name != "tensorboard"), None),
    }
    for name, value in refused.items():
        if value is not None:
            raise RequestError(
                f"{name}={str(value)[:80]!r} is the service's to decide; leave it out", param=name
            )


def recipe_of(fields: dict[str, Any]) -> Recipe:
    """A recipe from a request's fields. Raises: RequestError naming the setting and its value."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        where, message = refusal(error)
        raise RequestError(message, param=".".join(str(part) for part in where) or "recipe") from error
