"""Where a training's numbers and clips are shown while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vitascope.atomic import appending
from vitascope.clip import Clip
from vitascope.errors import DependencyMissing


class Tracker(Protocol):
    """Is told numbers and clips by step."""

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Losses, learning rate, gradient norm."""
        ...

    def clip(self, step: int, path: Path, clip: Clip) -> None:
        """A validation clip and the file that it is in."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class LogFile:
    """One JSON object a line; always written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.stream = path, path.open("a", encoding="utf-8")

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """A line for these numbers."""
        with appending(self.path):
            self.stream.write(json.dumps({"step": step, **values}) + "\n")
            self.stream.flush()

    def clip(self, step: int, path: Path, clip: Clip) -> None:
        """Clips lie in the folder samples."""

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # what could not be written was told when it was
            self.stream.close()


class TensorBoard:
    """Event files for `tensorboard --logdir`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DependencyMissing("tensorboard", "train", "the tracker tensorboard") from error
        self.writer = SummaryWriter(folder)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """One scalar each."""
        for name, value in values.items():
            self.writer.add_scalar(f"train/{name}", value, step)

    def clip(self, step: int, path: Path, clip: Clip) -> None:
        """The first, middle and last frame side by side; its GIF writer would need another package."""
        import numpy as np

        frames = clip.array()
        shown = np.concatenate([frames[i] for i in (0, len(frames) // 2, -1)], axis=1)
        self.writer.add_image(_shelf(path), shown, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


def _shelf(path: Path) -> str:
    """Where clips of one prompt, `step-000100-2.mp4`, follow each other."""
    return f"samples/{path.stem.rpartition('-')[2]}"


class Hosted:
    """trackio, which keeps everything on this machine, or W&B, which sends it to its servers."""

    def __init__(
        self, module: Any, project: str, name: str, settings: dict[str, Any], **options: Any
    ) -> None:
        self.module = module
        self.run = module.init(project=project, name=name, config=settings, **options)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """One call a step."""
        self.module.log(values, step=step)

    def clip(self, step: int, path: Path, clip: Clip) -> None:  # noqa: ARG002
        """The file as it is: of pixels W&B makes a video with further packages alone."""
        self.module.log({_shelf(path): self.module.Video(str(path), format=path.suffix[1:])}, step=step)

    def close(self) -> None:
        """End the run."""
        self.module.finish()


def open_trackers(
    names: Sequence[str], folder: Path, name: str, settings: dict[str, Any], warn: Any
) -> list[Tracker]:
    """The log file and the trackers that the recipe names.

    TensorBoard is on by default, so its absence is a warning; the others were asked for.
    Raises: DependencyMissing.
    """
    trackers: list[Tracker] = [LogFile(folder / "log.jsonl")]
    for kind in names:
        if kind == "tensorboard":
            try:
                trackers.append(TensorBoard(folder / "tensorboard"))
            except DependencyMissing as error:
                warn(f"{error}; numbers go to log.jsonl alone")
            continue
        try:
            module = __import__(kind)
        except ImportError as error:
            raise DependencyMissing(kind, kind, f"the tracker {kind}") from error
        options = {"dir": str(folder)} if kind == "wandb" else {}
        trackers.append(Hosted(module, "vitascope", name, settings, **options))
    return trackers


def tell(trackers: list[Tracker], say: Callable[[Tracker], None], warn: Callable[[str], None]) -> None:
    """Tell all of them; one that fails gets nothing more, since what is trained is worth more than its curve."""
    for tracker in list(trackers):
        try:
            say(tracker)
        except Exception as error:
            if isinstance(tracker, LogFile):
                raise
            trackers.remove(tracker)
            said = str(error).partition("\n")[0] or type(error).__name__
            warn(f"a tracker failed and gets nothing more, training goes on: {said}")
