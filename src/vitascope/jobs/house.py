"""Where a service keeps its jobs: a ledger and a queue in a database, files, one lock a worker slot."""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vitascope.errors import RequestError
from vitascope.jobs.artifacts import Artifacts

VIDEO, THUMBNAIL, SPRITESHEET, PREVIEW = "video.mp4", "thumbnail.webp", "spritesheet.jpg", "preview.webp"
LORA, LORA_COMFYUI, TRAINING_CARD, SAMPLES = "lora.safetensors", "comfyui.safetensors", "card.md", "samples"
RUN, DATA, ENCODED = "run", "data", "encoded"  # of an unfinished training: what it writes, reads, has encoded
DATASETS = "datasets"
_SLOT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_ID = re.compile(r"(?:video_|ftjob-)[0-9a-f]{24}")


@dataclass(frozen=True)
class House:
    """What every process of one service is given.

    `root`: a folder of this machine. `database`: a PostgreSQL URL that all machines share, or empty for SQLite
    in `root`. `store`: where finished files go so that all machines can read them (a URL of fsspec's), or empty.
    """

    root: Path
    database: str = ""
    store: str = ""

    def __post_init__(self) -> None:
        scheme, mark, _ = self.database.partition("://")
        if self.database and (not mark or scheme not in ("postgres", "postgresql", "postgresql+psycopg")):
            raise RequestError("--database must be a URL such as postgresql://user:password@host:5432/name")

    @property
    def ledger_url(self) -> str:
        """The database of job records, progress, keys and heartbeats."""
        if self.database:
            return "postgresql+psycopg://" + self.database.partition("://")[2]
        return f"sqlite:///{self.root / 'ledger.sqlite'}"

    @property
    def queue_url(self) -> str:
        """The database of the durable queue."""
        if self.database:
            return "postgresql://" + self.database.partition("://")[2]
        return f"sqlite:///{self.root / 'queue.sqlite'}"

    @cached_property
    def artifacts(self) -> Artifacts:
        """The store of finished files."""
        return Artifacts(self.root, self.store)

    def open(self) -> None:
        """Make the folders and, for SQLite, both databases, which write ahead so that readers never wait.

        Raises: RequestError for a folder that cannot be made or written to.
        """
        for name in ("", "jobs", "slots", "uploads", "loras", DATASETS):
            folder = self.root / name
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise RequestError(
                    f"--house {str(self.root)!r} cannot be made: {error.strerror}; name another folder"
                ) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise RequestError(f"--house: not allowed to write into {str(folder)!r}; name another folder")
        if self.database:
            return
        for name in ("ledger.sqlite", "queue.sqlite"):
            connection = sqlite3.connect(self.root / name, timeout=30)
            connection.execute("PRAGMA journal_mode=wal")
            connection.close()
            (self.root / name).chmod(0o600)

    def job(self, job_id: str) -> Path:
        """The folder of a job. Raises: RequestError for what is not a job's id, so that no path gets in."""
        return self.root / self.named(job_id)

    def named(self, job_id: str, file: str = "") -> str:
        """The name of a job's folder, or of a file in it, among the artifacts. Raises: as `job`."""
        if not _ID.fullmatch(job_id):
            raise RequestError(f"{job_id[:80]!r} is not the id of a job", param="video_id")
        return f"jobs/{job_id}/{file}" if file else f"jobs/{job_id}"

    def lock(self, slot: str) -> Path:
        """The file that a worker holds locked while it lives. Raises: RequestError for a name that is no file's."""
        if not _SLOT.fullmatch(slot):
            raise RequestError(f"--slot {slot[:80]!r}: use up to 100 letters, digits, dots and hyphens")
        return self.root / "slots" / f"{slot}.lock"

    def forget_work(self, job_id: str, *, keep_clips: bool = False) -> None:
        """Remove what only an unfinished job needs: denoising states, intermediate clips, a training's data.

        A workflow's clips may be kept for as long as its files, so that it can be run again from a step.
        """
        for name in ("states", PREVIEW, RUN, DATA, ENCODED, *(() if keep_clips else ("clips",))):
            self.artifacts.remove(self.named(job_id, name))

    def forget(self, job_id: str) -> None:
        """Remove all files of a job."""
        self.artifacts.remove(self.named(job_id))
