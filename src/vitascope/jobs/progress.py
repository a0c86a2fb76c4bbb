"""Turn the progress of stages into one percentage, and check at each tick whether the job may go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from vitascope.context import Progress
from vitascope.errors import JobCancelled, ResourceError
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.tables import in_one_line
from vitascope.media import write_image
from vitascope.recipe import AigcLabel

log = logging.getLogger(__name__)
REPORT_EVERY_S = 0.2
# Where on the way from 0 to 100 the known stages begin and end; steps of a chain share what lies between.
SPANS = {"load": (0, 5), "denoise": (5, 85), "decode": (85, 90), "write": (96, 99)}
SPANS |= {"encode clips": (0, 4), "encode captions": (4, 6), "train": (6, 99)}  # of a training
STEPS_SPAN = (90, 96)


def _nowhere() -> None:
    """Whoever looks is on this machine."""


@dataclass
class Watch:
    """Listens to one attempt: writes its progress, and stops it once it has lost its job."""

    ledger: Ledger
    job_id: str
    owner: str
    percent: int = 0
    preview: Path | None = None  # where the newest small picture goes
    label: AigcLabel | None = None  # what it carries
    publish: Callable[[], None] = _nowhere  # lets other machines see it
    stage: str = ""
    _written_at: float = field(default=-1.0)
    _is_deaf: bool = field(default=False)

    def __call__(self, progress: Progress) -> None:
        """Record one tick. Raises: JobCancelled if the job was cancelled or another attempt has it."""
        self.percent = max(self.percent, percent_of(progress))
        try:
            held = self._told(progress)
        except DBAPIError as error:  # the work goes on: the database will be back before it is done
            if not self._is_deaf:
                log.error("job %s cannot report: %s", self.job_id, in_one_line(error))
            self._is_deaf = True
            return
        self._is_deaf = False
        if not held:
            raise JobCancelled("the job was cancelled, or another worker has taken it over")

    def _told(self, progress: Progress) -> bool:
        """Write a tick down, not too often; whether the job is still this attempt's."""
        now = time.monotonic()
        if progress.stage == self.stage and now - self._written_at < REPORT_EVERY_S:
            return self.ledger.is_held(self.job_id, self.owner)
        self.stage, self._written_at = progress.stage, now
        values = {"stage": progress.stage, "step": progress.step, "total": progress.total}
        held = self.ledger.report(self.job_id, self.owner, progress=self.percent, **values)
        if progress.preview is not None and self.preview is not None and held:
            write_image(progress.preview, self.preview, label=self.label)
            with suppress(ResourceError):  # a store that does not answer costs the picture alone
                self.publish()
        return held


def percent_of(progress: Progress) -> int:
    """Where one tick stands on the whole way. Range: 0..99."""
    start, end = SPANS.get(progress.stage, STEPS_SPAN)
    share = min(progress.step / progress.total, 1.0) if progress.total > 0 else 0.0
    return int(start + (end - start) * share)
