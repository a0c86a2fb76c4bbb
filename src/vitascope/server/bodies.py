"""How the bodies that this service reads by itself look in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from vitascope.server.training_request import TrainingRequest
from vitascope.server.video_request import VideoRequest

_VIDEO_ID = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
_FILE = {"type": "string", "format": "binary"}


def _body(schema: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _without_defs(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose parts stand where they are used: the document has no place for its definitions."""
    parts = schema.get("$defs", {})

    def spelt_out(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return spelt_out(parts[value["$ref"].rpartition("/")[2]])
            return {name: spelt_out(inner) for name, inner in value.items() if name != "$defs"}
        return [spelt_out(inner) for inner in value] if isinstance(value, list) else value

    return spelt_out(schema)


_BOTH = ("application/json", "multipart/form-data")
_TEXT, _NUMBER = {"type": "string"}, {"type": "number", "exclusiveMinimum": 0, "maximum": 600}
_MODEL, _PARAMS = {"type": "string", "maxLength": 200}, {"type": "object"}
CREATE = _body(VideoRequest.model_json_schema(), *_BOTH)
REMIX = _body(_object(["prompt"], prompt=_TEXT), "application/json")
TRAIN = _body(_without_defs(TrainingRequest.model_json_schema()), *_BOTH)
_CLIP = {"oneOf": [_VIDEO_ID, _FILE]}
EDIT = _body(_object(["video"], prompt=_TEXT, video=_CLIP, model=_MODEL, params=_PARAMS), *_BOTH)
EXTEND = _body(
    _object(
        ["video"],
        prompt=_TEXT,
        video=_CLIP,
        seconds=_NUMBER,
        model=_MODEL,
        params=_PARAMS,
    ),
    *_BOTH,
)
STEP = _body(_object(["video"], video=_CLIP, params=_PARAMS), *_BOTH)
