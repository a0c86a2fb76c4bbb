"""From the fields of a request to an order: the standard names, our own, and the dialects of peers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.errors import InvalidMedia, RequestError, invalid_value
from vitascope.jobs.order import MAX_SECONDS, Order
from vitascope.server.envelope import Refusal
from vitascope.task import MAX_PROMPT_CHARACTERS
from vitascope.workflows.generate import DEFAULT_MODEL

MAX_UPLOAD_BYTES = 64 * 2**20
PIECE = 2**20
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_PEERS = {"steps": "num_inference_steps", "guidance": "guidance_scale", "frames": "num_frames"}


class VideoRequest(BaseModel):
    """Body of `POST /v1/videos`, as JSON or multipart.

    `params` holds everything that the standard has no name for: `seed`, `width`, `height`, `num_frames`,
    `fps`, `negative_prompt`, `strength`, and knobs of the model such as `num_inference_steps`,
    `guidance_scale` and `scheduler`. The same names are taken beside `prompt` as well. In multipart they are
    written `params[seed]`. `input_reference` is a picture or clip, sent as a file.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    model: str = Field(DEFAULT_MODEL, max_length=200)
    seconds: float | None = Field(None, gt=0, le=MAX_SECONDS, description="length of the clip")
    size: str | None = Field(None, description="WIDTHxHEIGHT, such as 1280x720")
    workflow: str | None = Field(None, max_length=200, description="a built-in workflow to run")
    params: dict[str, Any] | None = None


def order_from(fields: Mapping[str, Any]) -> Order:
    """The order that a request's fields write. Raises: RequestError, UnknownName later for unknown options."""
    given = {name: value for name, value in fields.items() if value is not None}
    if isinstance(given.get("params"), str):  # some clients send the object as text
        given["params"] = _object(given["params"])
    try:
        asked = VideoRequest(**given)
    except ValidationError as error:
        raise invalid_value(error, "video") from error
    options = dict(asked.model_extra or {})
    for name, value in (asked.params or {}).items():
        if name in options:
            raise RequestError(f"{name!r} is given twice, beside params and in it", param=name)
        options[name] = value
    for dialect, name in _PEERS.items():
        if dialect in options:
            options[name] = options.pop(dialect)
    options |= _size(asked.size, options)
    named = {"prompt": asked.prompt, "model": asked.model, "workflow": asked.workflow}
    return Order(**named, seconds=asked.seconds, options=options)


def request_hash(fields: Mapping[str, Any], file: BinaryIO | None) -> str:
    """A hash of all that a request carries, to tell a retry from another request under the same key."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    if file is not None:
        file.seek(0)
        while piece := file.read(PIECE):
            digest.update(piece)
        file.seek(0)
    return digest.hexdigest()


def save_upload(file: BinaryIO, path: Path) -> None:
    """Write an upload to our own path. Raises: Refusal (413) if too large, InvalidMedia if empty."""
    size = 0
    with path.open("xb") as target:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > MAX_UPLOAD_BYTES:
                raise Refusal(
                    413,
                    f"an upload may have {MAX_UPLOAD_BYTES // 2**20} MiB",
                    code="too_large",
                    param="input_reference",
                )
            target.write(piece)
    if size == 0:
        raise InvalidMedia("the uploaded file is empty", param="input_reference")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("params is text that is not valid JSON", param="params") from error
    if not isinstance(value, dict):
        raise RequestError("params must be an object", param="params")
    return value


def _size(size: str | None, options: Mapping[str, Any]) -> dict[str, int]:
    if size is None:
        return {}
    match = _SIZE.fullmatch(size)
    if match is None:
        raise RequestError(f"size {size[:40]!r} is not WIDTHxHEIGHT, such as 1280x720", param="size")
    if "width" in options or "height" in options:
        raise RequestError("give size, or width and height, not both", param="size")
    return {"width": int(match[1]), "height": int(match[2])}
