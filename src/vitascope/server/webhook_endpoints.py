"""The routes of webhooks, as the OpenAI client calls them, and a delivery log of our own."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from vitascope.jobs.webhooks import EVENT_TYPES, Delivery, Endpoint, event
from vitascope.server.access import Reader, Writer
from vitascope.server.counter import Counter
from vitascope.server.envelope import Refusal

router = APIRouter(prefix="/v1", tags=["webhooks"])
EventType = Literal["video.completed", "video.failed"]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Url = Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\x00-\x20]+$")]


class NewEndpoint(BaseModel):
    """Where events of which types go."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Url
    event_types: list[EventType] = Field(min_length=1, max_length=10)


class EndpointChange(BaseModel):
    """What shall be different; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Url | None = None
    event_types: list[EventType] | None = Field(None, min_length=1, max_length=10)


class Rotation(BaseModel):
    """Whether the old secret signs too for another day."""

    model_config = ConfigDict(extra="forbid")

    keep_old_secret_active_for_24_hours: bool = False


class Trial(BaseModel):
    """Body of a test delivery: which sample event to send."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventType


@router.get("/webhook_event_types", summary="Event types that there are")
async def event_types(_: Reader) -> dict[str, Any]:
    """All event types that a webhook can be sent for."""
    return {"object": "list", "data": list(EVENT_TYPES)}


@router.post("/webhook_endpoints", summary="Ask for webhooks")
def create(asked: NewEndpoint, request: Request, office: Counter, caller: Writer) -> dict[str, Any]:
    """The secret that signs what is sent is shown in this answer alone."""
    request.app.state.receivers.check(asked.url, "url")
    endpoint = office.webhooks.add(caller.tenant, asked.name, asked.url, asked.event_types)
    return _object(endpoint) | {"signing_secret": endpoint.secret}


@router.get("/webhook_endpoints", summary="List webhook endpoints")
def list_endpoints(
    office: Counter,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """A page of endpoints; the next one is asked for with `after` = `last_id`."""
    if after is not None:
        office.webhooks.find(after, caller.tenant)
    found = office.webhooks.page(caller.tenant, after, limit + 1)
    shown = found[:limit]
    return {
        "object": "list",
        "data": [_object(endpoint) for endpoint in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(found) > limit,
    }


@router.get("/webhook_endpoints/{endpoint_id}", summary="Look at a webhook endpoint")
def retrieve(endpoint_id: str, office: Counter, caller: Reader) -> dict[str, Any]:
    """One endpoint: its address and the events that it is sent."""
    return _object(office.webhooks.find(endpoint_id, caller.tenant))


@router.post("/webhook_endpoints/{endpoint_id}", summary="Change a webhook endpoint")
def update(
    endpoint_id: str, change: EndpointChange, request: Request, office: Counter, caller: Writer
) -> dict[str, Any]:
    """Another name, address or choice of events."""
    endpoint = office.webhooks.find(endpoint_id, caller.tenant)
    if change.url is not None:
        request.app.state.receivers.check(change.url, "url")
    return _object(office.webhooks.change(endpoint, **change.model_dump(exclude_none=True)))


@router.delete("/webhook_endpoints/{endpoint_id}", summary="Stop webhooks")
def delete(endpoint_id: str, office: Counter, caller: Writer) -> dict[str, Any]:
    """The delivery log goes too."""
    office.webhooks.remove(office.webhooks.find(endpoint_id, caller.tenant))
    return {"id": endpoint_id, "deleted": True, "object": "webhook_endpoint.deleted"}


@router.post("/webhook_endpoints/{endpoint_id}/rotate_secret", summary="Make a new signing secret")
def rotate_secret(
    endpoint_id: str, office: Counter, caller: Writer, asked: Rotation | None = None
) -> dict[str, Any]:
    """The new secret is shown in this answer alone."""
    endpoint = office.webhooks.find(endpoint_id, caller.tenant)
    keep_old = asked is not None and asked.keep_old_secret_active_for_24_hours
    endpoint = office.webhooks.rotate(endpoint, keep_old=keep_old)
    return _object(endpoint) | {"signing_secret": endpoint.secret}


@router.post("/webhook_endpoints/{endpoint_id}/test", summary="Send a sample")
async def test(
    endpoint_id: str, asked: Trial, request: Request, office: Counter, caller: Writer
) -> dict[str, Any]:
    """Waits for the receiver's answer and tells its status."""
    endpoint = await asyncio.to_thread(office.webhooks.find, endpoint_id, caller.tenant)
    body = json.dumps(event(asked.event_type, "video_sample"))
    message_id = f"whd_{secrets.token_hex(12)}"
    status, error = await asyncio.to_thread(request.app.state.announcer.post, endpoint, message_id, body)
    if status is None:
        raise Refusal(400, f"the receiver was not reached: {error}", code="not_delivered", param="url")
    return {
        "object": "webhook_endpoint.test",
        "event_type": asked.event_type,
        "status_code": status,
        "success": True,
        "webhook_endpoint_id": endpoint.id,
    }


@router.get("/webhook_endpoints/{endpoint_id}/deliveries", summary="Look at what was sent")
def deliveries(
    endpoint_id: str, office: Counter, caller: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """The last deliveries, newest first, with how each attempt ended."""
    endpoint = office.webhooks.find(endpoint_id, caller.tenant)
    return {"object": "list", "data": [_logged(row) for row in office.webhooks.log(endpoint, limit)]}


def _object(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "signing_secret_hint": f"whsec_...{endpoint.secret[-4:]}",
    }


def _logged(row: Delivery) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "webhook_delivery",
        "video_id": row.job_id,
        "event_type": row.event_type,
        "created_at": int(row.created_at),
        "attempts": row.attempts,
        "status_code": row.status_code,
        "error": row.error,
        "delivered_at": None if row.delivered_at is None else int(row.delivered_at),
        "next_attempt_at": None if row.next_at is None else int(row.next_at),
    }
