"""Find waiting jobs that can be denoised in one batch, where the deployment allows it.

A batch changes the last bits of its clips, and each recipe says so; it keeps no denoising states. What goes wrong
in a batch is made once more, one job at a time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from vitascope.clip import Clip
from vitascope.context import Progress
from vitascope.errors import JobCancelled, VitascopeError
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.loras import file_names
from vitascope.jobs.order import Prepared, prepare
from vitascope.jobs.progress import Watch
from vitascope.jobs.record import Job

LOOK_AT = 8  # waiting jobs for each place in a batch
OWN_WORDS = {"prompt", "negative_prompt", "seed"}  # what the jobs of a batch may differ in


@dataclass(frozen=True)
class Member:
    """One job of a batch, as its worker makes it."""

    job: Job
    prepared: Prepared


def may_lead(job: Job) -> bool:
    """Whether a job can be made with others: from words alone, for the first time, without steps around it.

    One that was begun before may be what killed its worker: it is made alone, so that it harms no other.
    """
    order = job.order
    return job.attempts <= 1 and not (order.reference or order.workflow or order.step or order.training)


def companions(leader: Member, house: House, ledger: Ledger, owner: str, most: int) -> list[Member]:
    """Up to `most` waiting jobs, taken for the attempt `owner`, that can be made with `leader`."""
    alike = _likeness(leader, house)
    taken: list[Member] = []
    for job in ledger.next_in_line(leader.job.order.model, LOOK_AT * most):
        if len(taken) == most:
            break
        if not may_lead(job):
            continue
        try:
            folder = house.artifacts.fetch(house.named(job.id)) if job.order.loras else house.job(job.id)
            member = Member(job, prepare(job.order, folder))
            fits = _likeness(member, house) == alike
        except VitascopeError:  # it fails by itself, when its turn comes
            continue
        if fits and ledger.claim_companion(job.id, leader.job, owner):
            taken.append(member)
    return taken


def _likeness(member: Member, house: House) -> str | None:
    """Equal for two jobs that can be denoised together: model, knobs, size, length, rate, speed, LoRA files."""
    generator, task = member.prepared.chain.generator, member.prepared.start
    if generator is None or isinstance(task, Clip):
        return None
    if isinstance(generator, DiffusersGenerator):  # what is left out and what is given may be the same
        generator = generator.filled_in(generator.profile())
    order = member.job.order
    folder = house.job(member.job.id)
    said: dict[str, Any] = {
        "generator": generator.name,
        "knobs": generator.model_dump(mode="json", exclude={"loras"}),
        "loras": [
            (_sha256(folder / name), lora.weight)
            for name, lora in zip(file_names(order.loras), order.loras, strict=True)
        ],
        "task": generator.complete(task).model_dump(mode="json", exclude=OWN_WORDS),
        "speed": order.speed,
    }
    return json.dumps(said, sort_keys=True, default=str)


def _sha256(path: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BatchWatch:
    """Listens for all jobs of a batch; it stops once all have been cancelled or taken over.

    One that was cancelled alone is dropped: the others go on, and its clip is thrown away.
    """

    def __init__(self, watches: list[Watch]) -> None:
        self._going = list(watches)

    def __call__(self, progress: Progress) -> None:
        """Note one tick for each job. Raises: JobCancelled."""
        for watch in list(self._going):
            try:
                watch(progress)
            except JobCancelled:
                self._going.remove(watch)
        if not self._going:
            raise JobCancelled("every job of the batch was cancelled, or is another worker's now")
