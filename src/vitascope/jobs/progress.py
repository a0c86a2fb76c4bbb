"""From the progress of stages to one number, and from each tick to the question whether to go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.context import Progress
from vitascope.errors import JobCancelled, ResourceError
from vitascope.jobs.ledger import Ledger
from vitascope.media import write_image
from vitascope.recipe import AigcLabel

REPORT_EVERY_S = 0.2
# Where on the way from 0 to 100 the known stages begin and end; steps of a chain share what lies between.
SPANS = {"load": (0, 5), "denoise": (5, 85), "decode": (85, 90), "write": (96, 99)}
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

    def __call__(self, progress: Progress) -> None:
        """Note one tick. Raises: JobCancelled if the job was cancelled or another attempt has it."""
        self.percent = max(self.percent, percent_of(progress))
        now = time.monotonic()
        if progress.stage == self.stage and now - self._written_at < REPORT_EVERY_S:
            held = self.ledger.is_held(self.job_id, self.owner)
        else:
            self.stage, self._written_at = progress.stage, now
            values = {"stage": progress.stage, "step": progress.step, "total": progress.total}
            held = self.ledger.report(self.job_id, self.owner, progress=self.percent, **values)
            if progress.preview is not None and self.preview is not None and held:
                write_image(progress.preview, self.preview, label=self.label)
                with suppress(ResourceError):  # a store that does not answer costs the picture alone
                    self.publish()
        if not held:
            raise JobCancelled("the job was cancelled, or another worker has taken it over")


def percent_of(progress: Progress) -> int:
    """Where one tick stands on the whole way. Range: 0..99."""
    start, end = SPANS.get(progress.stage, STEPS_SPAN)
    share = min(progress.step / progress.total, 1.0) if progress.total > 0 else 0.0
    return int(start + (end - start) * share)
