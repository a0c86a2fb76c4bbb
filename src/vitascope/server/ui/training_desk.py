"""What the page Fine-tune asks of the job office: a tenant's own trainings and LoRA files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vitascope.errors import RequestError, VitascopeError
from vitascope.jobs import loras as lora_files
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office, StillOpen, Submission
from vitascope.jobs.record import Job
from vitascope.jobs.training_order import TrainingClip, datasets
from vitascope.server.training_request import order_of, training_submission
from vitascope.server.ui.desk import choices, defaults, saved, within
from vitascope.task import TextToVideo
from vitascope.training.dataset import CAPTION_FILES, PICTURE_SUFFIXES, VIDEO_SUFFIXES, captions_of
from vitascope.training.trainable import trainable_models

NUM_LISTED = 8
PATIENCE_S = 10.0  # for a worker that is still saving
LENGTHS = {"draft": 0.25, "standard": 1.0, "fine": 2.0}  # times the usual number of steps
# What has worked for each: the embedded model after examples/, real ones after the habits of the field.
_SMALL = {"steps": 600, "batch_size": 8, "rank": 16, "targets": "all", "lr": 1e-3, "dtype": "float32"}
_LARGE = {"steps": 1000, "batch_size": 1, "rank": 64, "targets": "attention", "lr": 1e-4, "dtype": "auto"}


@dataclass(frozen=True)
class Lesson:
    """One clip that was dropped on the page: its file, and its caption."""

    path: Path
    caption: str


@dataclass(frozen=True)
class TrainingDesk:
    """One tenant's view of its trainings; `tenant` is found anew with each request."""

    office: Office

    def page(self, tenant: str) -> list[Job]:
        """The newest trainings."""
        return self.office.ledger.page(tenant, None, NUM_LISTED, newest_first=True, kind="training")

    def find(self, job_id: str, tenant: str) -> Job | None:
        """A tenant's training, or None."""
        try:
            return self.office.find(job_id, tenant, "training")
        except VitascopeError:
            return None

    def datasets(self) -> list[str]:
        """The folders of clips that the operator offers."""
        return datasets(self.office.house.artifacts)

    def loras(self, tenant: str) -> list[tuple[str, str]]:
        """LoRAs that a request of the tenant may name: how they are shown, and their names; its own come first."""
        own = [
            (upload.filename.removesuffix(".safetensors"), upload.id)
            for upload in self.office.uploads.loras(tenant)
        ]
        return own + [(name, name) for name in lora_files.offered(self.office.house.artifacts)]

    def train(self, caller: ApiKey, fields: Mapping[str, Any], lessons: Sequence[Lesson]) -> Job:
        """Queue a training from the fields of the API, and from clips in files. Raises: RequestError."""
        order, kept = order_of(fields), []
        try:
            for lesson in lessons:
                save = partial(saved, lesson.path)
                upload = self.office.uploads.add(caller.tenant, lesson.path.name, "user_data", save)
                kept.append((upload, TrainingClip(file_id=upload.id, caption=lesson.caption)))
            asked = training_submission(Submission(order), tuple(clip for _, clip in kept))
            return self.office.submit(within(caller, asked))
        finally:  # the job has its own copies
            for upload, _ in kept:
                self.office.uploads.delete(upload)

    def pause(self, job_id: str, tenant: str) -> Job:
        """Let a training save and stop. Raises: NotFound."""
        return self.office.pause(job_id, tenant)

    def resume(self, job_id: str, tenant: str) -> Job:
        """Let a paused training go on, once its worker has saved. Raises: NotFound, StillOpen."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.office.resume(job_id, tenant)
            except StillOpen:
                paused = self.office.find(job_id, tenant, "training").status == "paused"
                if not paused or time.monotonic() > until:
                    raise
            time.sleep(0.5)

    def delete(self, job_id: str, tenant: str) -> None:
        """End a training for good and remove it. Raises: NotFound."""
        self.office.cancel(job_id, tenant, "training")
        self.office.delete(job_id, tenant, "training")


def usual(model: str) -> dict[str, Any]:
    """Settings to begin with for a model."""
    told = defaults(model)
    shape = {name: told.get(name) for name in ("width", "height", "num_frames")}
    return {**(_SMALL if model.startswith("sprout") else _LARGE), **shape}


def models() -> list[tuple[str, bool]]:
    """What can be fine-tuned, and whether its weights are here; those that are come first."""
    here = {choice.name: choice.here for choice in choices()}
    return sorted(
        ((name, here.get(name, False)) for name in trainable_models()), key=lambda model: not model[1]
    )


def makes_from_words(model: str) -> bool:
    """Whether samples of it need no picture."""
    return any(choice.name == model and TextToVideo.kind in choice.tasks for choice in choices())


def lessons_in(files: Sequence[str]) -> list[Lesson]:
    """The clips among dropped files, with captions from a .txt of the same name or from a list among them.

    Raises: RequestError for a list that cannot be read, or for two clips of one name.
    """
    paths = [Path(file) for file in files]
    clips = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES]
    if len({clip.name for clip in clips}) < len(clips):
        name = next(clip.name for clip in clips if [other.name for other in clips].count(clip.name) > 1)
        raise RequestError(f"two clips are called {name!r}; rename one", param="clips")
    texts = {path.stem: path for path in paths if path.suffix.lower() == ".txt"}
    found: dict[str, str] = {}
    for path in paths:
        if path.suffix.lower() in {Path(name).suffix for name in CAPTION_FILES}:
            listed = captions_of(path.parent, [path.parent / clip.name for clip in clips], path)
            found |= {clip.name: caption for clip, caption in listed.items()}
    for clip in clips:
        if clip.name not in found and clip.stem in texts:
            text = texts[clip.stem].read_text(encoding="utf-8", errors="replace")
            found[clip.name] = " ".join(text.split())
    return [Lesson(clip, found.get(clip.name, "")) for clip in sorted(clips, key=lambda clip: clip.name)]
