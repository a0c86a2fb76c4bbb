"""The LoRA files that one request names: its tenant's uploads, or those that the operator offers to all.

A LoRA is put on for one job and taken off again; none is ever part of the server's state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.engine.tensor_files import safetensors_header
from vitascope.errors import InvalidMedia, NotFound, RequestError, UnknownName, invalid_value
from vitascope.jobs.artifacts import Artifacts

MAX_LORAS = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class LoraChoice(BaseModel):
    """One LoRA of a request: the name of an offered one, or the id of an uploaded file, and how strongly it works."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(max_length=100)
    weight: float = Field(1.0, ge=-10, le=10)


def choices(value: Any) -> tuple[LoraChoice, ...]:
    """What a request says under `loras`: a list of names, of "name:0.8", or of {name, weight}. Raises: RequestError."""
    listed = value if isinstance(value, list | tuple) else [value]
    if len(listed) > MAX_LORAS:
        raise RequestError(f"a request may name {MAX_LORAS} LoRAs, not {len(listed)}", param="loras")
    return tuple(_choice(item) for item in listed)


def _choice(item: Any) -> LoraChoice:
    if isinstance(item, str):
        name, _, weight = item.partition(":")
        item = {"name": name, "weight": weight or 1.0}
    if not isinstance(item, dict):
        raise RequestError("loras: each is a name, or an object {name, weight}", param="loras")
    if "file_id" in item:
        item = {"name": item["file_id"], **{key: value for key, value in item.items() if key != "file_id"}}
    try:
        choice = LoraChoice(**{str(key): value for key, value in item.items()})
    except ValidationError as error:
        raise RequestError(str(invalid_value(error, "loras")), param="loras") from error
    if not _NAME.fullmatch(choice.name):
        raise RequestError(f"loras: {choice.name[:80]!r} is not the name of a LoRA", param="loras")
    return choice


def offered(artifacts: Artifacts) -> list[str]:
    """The LoRAs that the operator has put into the folder `loras` of the service."""
    return sorted(path.stem for path in (artifacts.folder / "loras").glob("*.safetensors"))


def offered_path(name: str, artifacts: Artifacts) -> Path:
    """The file of an offered LoRA on this machine. Raises: UnknownName."""
    try:
        return artifacts.fetch(f"loras/{name}.safetensors")
    except NotFound as error:
        raise UnknownName("LoRA", name, offered(artifacts), param="loras") from error


def check_lora(path: Path) -> None:
    """Check that a file is a LoRA in safetensors. Raises: InvalidMedia."""
    try:
        names = [name for name in safetensors_header(path) if name != "__metadata__"]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:  # a header of another shape
        raise InvalidMedia("the file is not in safetensors", param="loras") from error
    if not any("lora" in name.lower() for name in names):
        raise InvalidMedia("the safetensors file holds no LoRA layers", param="loras")


def file_names(chosen: Sequence[LoraChoice]) -> list[str]:
    """What the job's own copies are called in its folder, in order."""
    return [f"lora-{index}.safetensors" for index in range(len(chosen))]
