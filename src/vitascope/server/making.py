"""From a request that was read to a submission: whose it is, what it starts from, which limits it has."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.errors import RequestError
from vitascope.generators import for_model
from vitascope.jobs.house import VIDEO
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.outside import Outside
from vitascope.jobs.record import Job
from vitascope.server.body import Body
from vitascope.server.envelope import Refusal
from vitascope.server.video_request import (
    MAX_UPLOAD_BYTES,
    ParsedRequest,
    data_of,
    knobs_of,
    parse_request,
    refuse_label,
    request_hash,
    save_upload,
)
from vitascope.task import ImageToVideo, VideoToVideo
from vitascope.workflows.generate import DEFAULT_FROM_PICTURE, DEFAULT_MODEL

MAX_KEY_CHARACTERS = 255
Save = Callable[[Path], None]


@dataclass(frozen=True)
class IncomingRequest:
    """One request and who sent it."""

    office: Office
    caller: ApiKey
    body: Body
    headers: Mapping[str, str]
    sources: Outside

    def submission(
        self,
        order: Order,
        save: Save | None,
        *,
        priority: int,
        said: Any,
        remixed_from: str | None = None,
        file_field: str = "input_reference",
    ) -> Submission:
        """What the office is asked, within the limits of the caller's key. `said`: what tells a retry apart.

        Raises: Refusal (403) for a priority that the key may not ask for.
        """
        if priority < self.caller.best_priority:
            raise Refusal(
                403,
                f"priority {priority}: this key's best is {self.caller.best_priority}",
                code="priority",
                param="priority",
            )
        upload = self.body.file.file if self.body.file is not None else None
        return Submission(
            order=order,
            tenant=self.caller.tenant,
            priority=priority,
            max_open=self.caller.max_open,
            max_running=self.caller.max_running,
            idempotency_key=self._idempotency_key(),
            request_hash=request_hash(said, upload),
            remixed_from=remixed_from,
            save_reference=save,
            reference_name=file_field,
        )

    def _idempotency_key(self) -> str | None:
        key = self.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= MAX_KEY_CHARACTERS:
            raise RequestError(f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters")
        return key

    def saver(self, asked: ParsedRequest) -> Save | None:
        """How the request's picture or clip gets into the job's folder. Raises: RequestError for two of them."""
        if self.body.file is not None:
            if asked.file_id or asked.url:
                raise RequestError(
                    "send the reference as a file or by name, not both", param="input_reference"
                )
            refuse_label(self.body.file.content_type, "input_reference")
            stream = self.body.file.file
            return lambda path: save_upload(stream, path)
        if asked.file_id is not None:
            source = self.office.uploads.path(asked.file_id, self.caller.tenant)
            return lambda path: _copied(source, path)
        if asked.url is not None:
            data = data_of(asked.url)
            url = asked.url
            return lambda path: _written(self._fetched(url) if data is None else data, path)
        return None

    def _fetched(self, url: str) -> bytes:
        status, data = self.sources.request("GET", url, "input_reference", max_bytes=MAX_UPLOAD_BYTES)
        if status != 200:
            raise RequestError(f"the URL answered {status}", param="input_reference")
        return data

    def completed(self, video_id: Any) -> Job:
        """A completed job of the caller's. Raises: NotFound, Refusal (409, 410)."""
        job = self.office.find(str(video_id), self.caller.tenant)
        if job.expires_at is not None and job.expires_at < time.time():
            raise Refusal(410, f"video {job.id!r} has expired", code="expired", param="video_id")
        if job.status != "completed":
            raise Refusal(409, f"video {job.id!r} is not completed", code="not_ready", param="video_id")
        return job


def _copied(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)


def _written(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def video_of(incoming: IncomingRequest) -> Submission:
    """`POST /v1/videos`. Raises: RequestError."""
    return _submission_of(incoming, incoming.body.fields)


def _submission_of(incoming: IncomingRequest, fields: Mapping[str, Any]) -> Submission:
    asked = parse_request(fields)
    return incoming.submission(asked.order, incoming.saver(asked), priority=asked.priority, said=fields)


def remix_of(incoming: IncomingRequest, parent: Job) -> Submission:
    """`POST /v1/videos/{id}/remix`: all as the parent had it, with another prompt. Raises: RequestError."""
    fields = incoming.body.fields
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or set(fields) != {"prompt"} or incoming.body.file is not None:
        raise RequestError("a remix takes one field, prompt, which is text", param="prompt")
    parent = incoming.completed(parent.id)
    if parent.order.step is not None:
        raise RequestError(f"video {parent.id!r} was made by a step, which reads no prompt", param="video_id")
    house = incoming.office.house
    save: Save | None = None
    if parent.order.reference:
        source = house.artifacts.fetch(house.named(parent.id, parent.order.reference))
        save = lambda path: _copied(source, path)  # noqa: E731
    order = parent.order.model_copy(update={"prompt": prompt, "reference": None})
    said = {"remix": parent.id, **fields}
    priority = max(parent.priority, incoming.caller.best_priority)
    return incoming.submission(order, save, priority=priority, said=said, remixed_from=parent.id)


def edit_of(incoming: IncomingRequest) -> Submission:
    """`POST /v1/videos/edits`: video-to-video. Raises: RequestError."""
    return _after_a_clip(incoming, extends=False)


def extension_of(incoming: IncomingRequest) -> Submission:
    """`POST /v1/videos/extensions`: from the last frame on. Raises: RequestError."""
    return _after_a_clip(incoming, extends=True)


def _after_a_clip(incoming: IncomingRequest, *, extends: bool) -> Submission:
    fields = dict(incoming.body.fields)
    parent, save = _clip_of(incoming, fields.pop("video", None))
    asked = parse_request(fields)
    if asked.file_id or asked.url:
        raise RequestError("send the clip as `video`", param="input_reference")
    order = asked.order
    if "model" not in fields:
        order = order.model_copy(update={"model": _fitting_model(parent, extends=extends)})
    order = order.model_copy(update={"extends": extends})
    said = {"extends" if extends else "edits": incoming.body.fields}
    parent_id = None if parent is None else parent.id
    return incoming.submission(
        order, save, priority=asked.priority, said=said, remixed_from=parent_id, file_field="video"
    )


def _clip_of(incoming: IncomingRequest, video: Any) -> tuple[Job | None, Save]:
    """The clip that `video` names or that was sent. Raises: RequestError, NotFound."""
    if incoming.body.file is not None and video is None:
        refuse_label(incoming.body.file.content_type, "video")
        stream = incoming.body.file.file
        return None, lambda path: save_upload(stream, path, param="video")
    if isinstance(video, dict) and set(video) == {"id"}:
        video = video["id"]
    if not isinstance(video, str) or incoming.body.file is not None:
        raise RequestError("video is a file, or {id} of a completed video", param="video")
    parent = incoming.completed(video)
    house = incoming.office.house
    source = house.artifacts.fetch(house.named(parent.id, VIDEO))
    return parent, lambda path: _copied(source, path)


def _fitting_model(parent: Job | None, *, extends: bool) -> str:
    """The parent's own model if it makes such videos, else the embedded one that does."""
    kind = ImageToVideo if extends else VideoToVideo
    if parent is not None:
        model = parent.order.model
        generator = for_model(model)
        kinds = (
            generator.profile().kinds
            if hasattr(generator, "profile")
            else [k.kind for k in generator.accepts]
        )
        if kind.kind in kinds:
            return model
    return DEFAULT_FROM_PICTURE if extends else DEFAULT_MODEL


def step_of(incoming: IncomingRequest, step: str) -> Submission:
    """`POST /v1/steps/{step}`: one step on a clip; all other fields are its knobs. Raises: RequestError."""
    fields = dict(incoming.body.fields)
    parent, save = _clip_of(incoming, fields.pop("video", None))
    priority = parse_request({"priority": fields.pop("priority", None)}).priority
    order = Order(step=step, options=knobs_of(fields))
    said = {"step": step, **incoming.body.fields}
    parent_id = None if parent is None else parent.id
    return incoming.submission(
        order, save, priority=priority, said=said, remixed_from=parent_id, file_field="video"
    )


def workflow_of(incoming: IncomingRequest, workflow: str) -> Submission:
    """`POST /v1/workflows/{workflow}`: as `POST /v1/videos` with `workflow`. Raises: RequestError."""
    return _submission_of(incoming, {**incoming.body.fields, "workflow": workflow})
