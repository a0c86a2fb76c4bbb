"""What the ledger knows of one job."""

from __future__ import annotations

import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitascope.jobs.order import Order

Status = Literal["queued", "in_progress", "completed", "failed", "paused"]  # only a training can pause
Kind = Literal["video", "training"]
OPEN: tuple[Status, ...] = ("queued", "in_progress")
DEFAULT_PRIORITY = 5


PREFIXES: dict[Kind, str] = {"video": "video_", "training": "ftjob-"}


def new_id(kind: Kind = "video") -> str:
    """An id that nobody can guess."""
    return f"{PREFIXES[kind]}{secrets.token_hex(12)}"


class Job(BaseModel):
    """One request and what has become of it.

    Units: times in Unix seconds. Range: progress 0..100; priority 1 (first) .. 9. `owner`: slot and attempt that
    may write; an attempt that lost it stops at its next denoising step. `attempts`: how often it was begun.
    `batched_with`: the job in whose attempt this one is made too, while it is.
    `released`: whether it may stand in the queue; until then its tenant has `max_running` others there.
    `announced`: whether its end has been told to those who asked for webhooks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=new_id)
    tenant: str = "local"
    order: Order
    created_at: float = Field(default_factory=time.time)
    priority: int = Field(DEFAULT_PRIORITY, ge=1, le=9)
    seconds: str = ""
    size: str = ""
    status: Status = "queued"
    released: bool = True
    max_running: int | None = None
    batched_with: str | None = None
    progress: int = 0
    stage: str = ""
    step: int = 0
    total: int = 0
    attempts: int = 0
    owner: str = ""
    started_at: float | None = None
    completed_at: float | None = None
    expires_at: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    announced: bool = True
    remixed_from: str | None = None
    idempotency_key: str | None = None
    request_hash: str = ""
    estimate: dict[str, Any] | None = None
    result: dict[str, Any] = Field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What it makes, which its id says too."""
        return "training" if self.id.startswith(PREFIXES["training"]) else "video"

    @property
    def is_open(self) -> bool:
        """Whether it is still waiting or running."""
        return self.status in OPEN
