"""From the fields of a request to an order: the standard names, our own, and the dialects of peers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.engine.placement import Speed
from vitascope.errors import InvalidMedia, RequestError, invalid_value
from vitascope.jobs.loras import choices
from vitascope.jobs.order import MAX_SECONDS, Order
from vitascope.jobs.record import DEFAULT_PRIORITY
from vitascope.server.envelope import Refusal
from vitascope.task import MAX_PROMPT_CHARACTERS

MAX_UPLOAD_BYTES = 64 * 2**20
PIECE = 2**20
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_PEERS = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "frames": "num_frames",
    "lora": "loras",
    "reference_url": "image_url",
    "image_reference": "input_reference",
    "video_reference": "input_reference",
}
_OBJECTS = (
    "params",
    "extra_params",
    "input_reference",
    "loras",
    "video",
    "trajectories",
    "poses",
    "image_pose",
)  # sent as JSON text by some clients
_ONE_CLIP = ("n", "num_outputs_per_prompt")


class VideoRequest(BaseModel):
    """Body of `POST /v1/videos`, as JSON or multipart.

    `params` holds everything that the standard has no name for: `seed`, `width`, `height`, `num_frames`,
    `fps`, `negative_prompt`, `strength`, `trajectories` (drawn paths as lists of points), `poses` and `image_pose`
    (objects as in a pose file: they move the person of a picture), and knobs of the model such as
    `num_inference_steps`, `guidance_scale` and `scheduler`. The same names are taken beside `prompt` as well. In
    multipart they are written `params[seed]`, objects as JSON text. `input_reference` is a picture or clip: a file,
    or an object with `file_id` (an upload), or with `image_url` (a data: URL, or one of a host that this service may
    fetch from).
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    model: str = Field("", max_length=200, description="empty: the embedded one for what is sent")
    seconds: float | None = Field(None, gt=0, le=MAX_SECONDS, description="length of the clip")
    size: str | None = Field(None, description="WIDTHxHEIGHT, such as 1280x720")
    workflow: str | None = Field(None, max_length=200, description="a built-in workflow to run")
    speed: Speed | None = Field(None, description="exact, balanced or turbo; the service's own if left out")
    loras: Any = Field(
        None, description='LoRAs of this request alone: "name:0.8", or {name or file_id, weight}'
    )
    priority: int = Field(DEFAULT_PRIORITY, ge=1, le=9, description="1 is served first; a key has its best")
    input_reference: dict[str, Any] | None = Field(
        None, description="file_id or image_url, where no file is sent"
    )
    params: dict[str, Any] | None = None
    user: str | None = Field(None, max_length=200, description="taken for other clients' sake; not kept")


@dataclass(frozen=True)
class ParsedRequest:
    """A request understood: what to make, how urgent it is, and where its picture or clip is."""

    order: Order
    priority: int
    file_id: str | None = None
    url: str | None = None


def parse_request(fields: Mapping[str, Any]) -> ParsedRequest:
    """What a request's fields ask for. Raises: RequestError, UnknownName later for unknown options."""
    asked = _asked(fields)
    peers = {_PEERS.get(name, name): value for name, value in (asked.params or {}).items()}
    options = _together(asked.model_extra or {}, peers)
    loras = options.pop("loras", None) if asked.loras is None else asked.loras
    reference = dict(asked.input_reference or {})
    if "image_url" in options:
        reference["image_url"] = options.pop("image_url")
    for name in _ONE_CLIP:
        if str(options.pop(name, 1)) != "1":
            raise RequestError(f"{name}: one request makes one video; send several", param=name)
    options |= _size(asked.size, options)
    order = Order(
        prompt=asked.prompt,
        model=asked.model,
        workflow=asked.workflow,
        speed=asked.speed,
        seconds=asked.seconds,
        loras=() if loras is None else choices(loras),
        options=options,
    )
    return ParsedRequest(order, asked.priority, *reference_in(reference))


def knobs_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of a step from its request's fields: flat, or in `params`, an object or its JSON text.

    Raises: RequestError.
    """
    beside = {name: value for name, value in fields.items() if name != "params" and value is not None}
    params = fields.get("params")
    if isinstance(params, str):
        params = _parsed("params", params)
    return _together(beside, {} if params is None else _object("params", params))


def _together(beside: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    for name in params:
        if name in beside:
            raise RequestError(f"{name!r} is given twice, beside params and in it", param=name)
    return {**beside, **params}


def reference_in(said: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The id of an upload, or a URL, from an `input_reference` that is no file. Raises: RequestError."""
    if not said:
        return None, None
    url = said.get("image_url") or said.get("video_url") or said.get("url")
    url = url.get("url") if isinstance(url, dict) else url
    file_id = said.get("file_id")
    if set(said) - {"file_id", "image_url", "video_url", "url"} or (file_id is None) == (url is None):
        raise RequestError("input_reference is a file, {file_id} or {image_url}", param="input_reference")
    if not isinstance(file_id or url, str):
        raise RequestError("input_reference: file_id and image_url are text", param="input_reference")
    return file_id, url


def data_of(url: str) -> bytes | None:
    """What a data: URL carries; None for any other URL. Raises: RequestError."""
    if not url.startswith("data:"):
        return None
    head, comma, body = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise RequestError("a data: URL must be base64", param="input_reference")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise RequestError("the data: URL is not valid base64", param="input_reference") from error


def _asked(fields: Mapping[str, Any]) -> VideoRequest:
    given: dict[str, Any] = {}
    for name, value in fields.items():
        name = _PEERS.get(name, name)
        if value is None:
            continue
        if name in given:
            raise RequestError(f"{name!r} is given twice", param=name)
        is_text = name in _OBJECTS and isinstance(value, str) and value.lstrip().startswith(("{", "["))
        given[name] = (
            _parsed(name, value) if is_text or (name == "params" and isinstance(value, str)) else value
        )
    if "extra_params" in given:
        given["params"] = {**_object("extra_params", given.pop("extra_params")), **given.get("params", {})}
    try:
        return VideoRequest(**given)
    except ValidationError as error:
        raise invalid_value(error, "video") from error


def request_hash(fields: Mapping[str, Any], file: BinaryIO | None) -> str:
    """A hash of all that a request carries, to tell a retry from another request under the same key."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    if file is not None:
        file.seek(0)
        while piece := file.read(PIECE):
            digest.update(piece)
        file.seek(0)
    return digest.hexdigest()


def refuse_label(content_type: str | None, param: str) -> None:
    """A file is judged by its content; but one that is said to be a page or a program is not even read.

    Raises: RequestError.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind and kind != "application/octet-stream" and not kind.startswith(("image/", "video/")):
        raise RequestError(f"a file of type {kind[:60]!r} is neither a picture nor a clip", param=param)


def save_upload(file: BinaryIO, path: Path, param: str = "input_reference") -> None:
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
                    param=param,
                )
            target.write(piece)
    if size == 0:
        raise InvalidMedia("the uploaded file is empty", param=param)


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{name} is text that is not valid JSON", param=name) from error


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{name} must be an object", param=name)
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
