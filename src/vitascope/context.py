"""What a run lends to whoever works in it: progress, cancellation, a checkpoint store, settings.

Never the task's data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitascope.atomic import ready_folder, write_bytes
from vitascope.errors import JobCancelled
from vitascope.settings import Settings


@dataclass(frozen=True)
class Progress:
    """How far one stage has come.

    Range: step 0..total; a stage that cannot count says total 0. `preview`: a small picture, if there is one.
    """

    stage: str
    step: int
    total: int
    preview: Any = None


class CheckpointStore(Protocol):
    """Where a stage keeps bytes that let it go on after a crash."""

    def save(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`, replacing what was there in one move."""
        ...

    def load(self, name: str) -> bytes | None:
        """What was kept under `name`, or None."""
        ...

    def delete(self, name: str) -> None:
        """Forget `name`; no error if it is not there."""
        ...


@dataclass(frozen=True)
class FolderCheckpoints:
    """A checkpoint store in a local folder, one file a name."""

    folder: Path

    def save(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`. Raises: DiskFull, ResourceError."""
        write_bytes(ready_folder(self.folder) / name, data)

    def load(self, name: str) -> bytes | None:
        """What was kept under `name`, or None."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:  # or gone by now: another run of the same had done with it
            return None

    def delete(self, name: str) -> None:
        """Forget `name`."""
        (self.folder / name).unlink(missing_ok=True)

    def prune(self, room: float) -> int:
        """Forget what was kept longest ago until the rest fits into `room`; gives what was freed. Units: bytes."""
        kept = []
        for file in self.folder.glob("*"):
            with suppress(OSError):  # another run may be done with it meanwhile
                kept.append((file.stat().st_mtime, file.stat().st_size, file))
        taken = freed = 0
        for _, size, file in sorted(kept, reverse=True):
            taken += size
            if taken > room:
                file.unlink(missing_ok=True)
                freed += size
        return freed


def _ignore(_: Progress) -> None:
    """The listener of a run that nobody watches."""


@dataclass(frozen=True)
class Context:
    """Lent to generators, steps and chains for one run.

    `checkpoint_every` is in denoising steps; 0 keeps no denoising state. Units: preview_every_s in seconds; 0
    makes no previews.
    """

    on_progress: Callable[[Progress], None] = _ignore
    cancel: threading.Event = field(default_factory=threading.Event)
    checkpoints: CheckpointStore | None = None
    checkpoint_every: int = 5
    preview_every_s: float = 0.0
    settings: Settings = field(default_factory=Settings.from_environment)
    warnings: list[str] = field(default_factory=list)
    about: dict[str, set[int]] = field(
        default_factory=dict
    )  # warnings that concern some clips of a batch alone

    def progress(self, stage: str, step: int, total: int, preview: Any = None) -> None:
        """Say how far `stage` has come, and stop here if somebody asked to.

        Raises: JobCancelled.
        """
        self.check_cancelled()
        self.on_progress(Progress(stage, step, total, preview))

    def check_cancelled(self) -> None:
        """Raises: JobCancelled if the run was asked to stop."""
        if self.cancel.is_set():
            raise JobCancelled("the run was cancelled")

    def warn(self, message: str, clip: int | None = None) -> None:
        """Keep a line that the user should read when the run ends.

        `clip`: the place in its batch of the clip that alone is meant; such a line may quote its prompt.
        """
        if clip is not None and (message in self.about or message not in self.warnings):
            self.about.setdefault(message, set()).add(clip)
        if message not in self.warnings:
            self.warnings.append(message)

    def warnings_about(self, clip: int) -> list[str]:
        """The warnings that concern one clip of a batch."""
        return [line for line in self.warnings if clip in self.about.get(line, {clip})]
