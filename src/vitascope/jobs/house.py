"""Where a service keeps its jobs: two databases, one folder a job, one lock a worker slot."""

from __future__ import annotations

import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from vitascope.errors import RequestError

VIDEO, THUMBNAIL, SPRITESHEET = "video.mp4", "thumbnail.webp", "spritesheet.jpg"
_ID = re.compile(r"video_[0-9a-f]{24}")


@dataclass(frozen=True)
class House:
    """The folder of one service; every process of it is given the same one."""

    root: Path

    @property
    def ledger_url(self) -> str:
        """The database of job records, progress and heartbeats."""
        return f"sqlite:///{self.root / 'ledger.sqlite'}"

    @property
    def queue_url(self) -> str:
        """The database of the durable queue."""
        return f"sqlite:///{self.root / 'queue.sqlite'}"

    def open(self) -> None:
        """Make the folders and both databases; they write ahead, so that readers never wait."""
        for folder in (self.root, self.root / "jobs", self.root / "slots"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("ledger.sqlite", "queue.sqlite"):
            connection = sqlite3.connect(self.root / name, timeout=30)
            connection.execute("PRAGMA journal_mode=wal")
            connection.close()

    def job(self, job_id: str) -> Path:
        """The folder of a job. Raises: RequestError for what is not a job's id, so that no path gets in."""
        if not _ID.fullmatch(job_id):
            raise RequestError(f"{job_id[:80]!r} is not the id of a video", param="video_id")
        return self.root / "jobs" / job_id

    def lock(self, slot: str) -> Path:
        """The file that a worker holds locked while it lives."""
        return self.root / "slots" / f"{slot}.lock"

    def forget_work(self, job_id: str) -> None:
        """Remove what only an unfinished job needs: denoising states and intermediate clips."""
        for name in ("states", "clips"):
            shutil.rmtree(self.job(job_id) / name, ignore_errors=True)

    def forget(self, job_id: str) -> None:
        """Remove all files of a job."""
        shutil.rmtree(self.job(job_id), ignore_errors=True)
