"""Where a training's numbers and clips are shown while it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from vitascope.clip import Pixels
from vitascope.errors import DependencyMissing


class Tracker(Protocol):
    """Is told numbers and clips by step."""

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Losses, learning rate, gradient norm."""
        ...

    def clip(self, step: int, name: str, frames: Pixels, fps: float) -> None:
        """A validation clip. Shape: (T, H, W, 3)."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class LogFile:
    """One JSON object a line; always written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = path.open("a", encoding="utf-8")

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """A line for these numbers."""
        self.stream.write(json.dumps({"step": step, **values}) + "\n")
        self.stream.flush()

    def clip(self, step: int, name: str, frames: Pixels, fps: float) -> None:
        """Clips lie in the folder samples."""

    def close(self) -> None:
        """Close the file."""
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

    def clip(self, step: int, name: str, frames: Pixels, fps: float) -> None:  # noqa: ARG002
        """The first, middle and last frame side by side; its GIF writer would need another package."""
        import numpy as np

        shown = np.concatenate([frames[i] for i in (0, len(frames) // 2, -1)], axis=1)
        self.writer.add_image(f"samples/{name}", shown, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class Hosted:
    """trackio, which keeps everything on this machine, or W&B, which sends it to its servers."""

    def __init__(self, module: Any, project: str, name: str, settings: dict[str, Any]) -> None:
        self.module = module
        self.run = module.init(project=project, name=name, config=settings)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """One call a step."""
        self.module.log(values, step=step)

    def clip(self, step: int, name: str, frames: Pixels, fps: float) -> None:
        """As a video."""
        if hasattr(self.module, "Video"):
            video = self.module.Video(frames.transpose(0, 3, 1, 2), fps=max(1, round(fps)), format="gif")
            self.module.log({f"samples/{name}": video}, step=step)

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
        trackers.append(Hosted(module, "vitascope", name, settings))
    return trackers
