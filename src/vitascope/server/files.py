"""The routes under `/v1/files`: uploads that later requests name by id."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from vitascope.errors import RequestError
from vitascope.jobs.keys import ApiKey
from vitascope.jobs.office import Office
from vitascope.jobs.training_order import check_training_file
from vitascope.jobs.uploads import TRAINING_FILE, Upload
from vitascope.server.access import Reader, Writer
from vitascope.server.body import Body, read_body
from vitascope.server.content import file_response
from vitascope.server.counter import Counter, threaded
from vitascope.server.video_request import save_upload

router = APIRouter(prefix="/v1/files", tags=["files"])
PURPOSES = ("vision", "user_data", "lora", TRAINING_FILE)
MAX_LIST_BYTES = 4 * 2**20
_FORM = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": list(PURPOSES)},
    },
    "required": ["file", "purpose"],
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


@router.post(
    "", summary="Upload a picture, a clip, a LoRA, or a list of clips to train on", openapi_extra=_BODY
)
async def upload(request: Request, office: Counter, caller: Writer) -> dict[str, Any]:
    """What it is, is found by reading it; what cannot be decoded is refused. It is kept for a week."""
    body = await read_body(request, file_field="file")
    try:
        return _object(await threaded(lambda: _add(office, caller, body), heavy=True))
    finally:
        if body.file is not None:
            await body.file.close()


def _add(office: Office, caller: ApiKey, body: Body) -> Upload:
    purpose = body.fields.get("purpose")
    if body.file is None:
        raise RequestError("send the file as the form field `file`", param="file")
    if purpose not in PURPOSES:
        raise RequestError(
            f"purpose {str(purpose)[:40]!r}: use one of {', '.join(PURPOSES)}", param="purpose"
        )
    stream = body.file.file
    return office.uploads.add(
        caller.tenant,
        body.file.filename or "",
        purpose,
        lambda path: save_upload(stream, path, param="file"),
        _list_of_clips if purpose == TRAINING_FILE else None,
    )


def _list_of_clips(path: Path) -> str:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise RequestError(f"a list of clips may have {MAX_LIST_BYTES} bytes", param="file")
    check_training_file(path)
    return "list"


@router.get("", summary="List uploads")
def list_files(
    office: Counter,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """A page of files; the next one is asked for with `after` = `last_id`."""
    if after is not None:
        office.uploads.find(after, caller.tenant)
    found = office.uploads.page(caller.tenant, after, limit + 1, newest_first=order == "desc")
    shown = found[:limit]
    return {
        "object": "list",
        "data": [_object(row) for row in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(found) > limit,
    }


@router.get("/{file_id}", summary="Look at an upload")
def retrieve(file_id: str, office: Counter, caller: Reader) -> dict[str, Any]:
    """Its name, size and when it expires."""
    return _object(office.uploads.find(file_id, caller.tenant))


@router.get("/{file_id}/content", summary="Download an upload", response_class=Response)
def content(file_id: str, request: Request, office: Counter, caller: Reader) -> Response:
    """The bytes that were uploaded."""
    found = office.uploads.find(file_id, caller.tenant)
    kind = "application/octet-stream"  # never shown in a browser as what its sender says it is
    return file_response(office.house.artifacts, found.name, kind, found.id, request.headers)


@router.delete("/{file_id}", summary="Delete an upload")
def delete(file_id: str, office: Counter, caller: Writer) -> dict[str, Any]:
    """Jobs that were made from it keep their own copy."""
    office.uploads.delete(office.uploads.find(file_id, caller.tenant))
    return {"id": file_id, "object": "file", "deleted": True}


def _object(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.num_bytes,
        "created_at": int(upload.created_at),
        "expires_at": int(upload.expires_at),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "kind": upload.kind,
        "status": "processed",
    }
