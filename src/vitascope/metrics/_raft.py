"""How far things move from frame to frame, by RAFT at the clip's own size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.metrics._motion import fastest_mean
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Metric, Score, Tier

NUM_ITERATIONS = 20


class RaftMetric(Metric):
    """A metric of optical flow by RAFT, with the weights that its authors trained on FlyingThings."""

    tier: ClassVar[Tier] = "needs weights"

    weights: Path | None = None

    def load(self, placement: Placement) -> Any:
        """The network. Raises: WeightsMissing."""
        file = weights_file("raft-things.pth", self.weights, "princeton-vl/RAFT", "weights")
        from vitascope.models.raft import load_raft

        return load_raft(file, placement.resolve().device)

    def modules_key(self) -> Any:
        """The weights file alone."""
        return "raft", str(self.weights)

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: RequestError under two frames, WeightsMissing."""
        if clip.num_frames < 2:
            raise RequestError(f"{self.name} needs two frames or more, not {clip.num_frames}")
        network = self.load(Placement()) if modules is None else modules
        measured = self.measure(clip, network)
        return self.unmeasured(measured) if isinstance(measured, str) else self.scored(measured)

    @abstractmethod
    def measure(self, clip: Clip, network: Any) -> float | str:
        """The value, or the reason why there is none."""


def fastest(pairs: Iterable[tuple[Pixels, Pixels]], network: Any, share: float) -> Iterator[float]:
    """The mean length of the flow over its fastest pixels, pair by pair; the padded rim counts. Units: pixels."""
    import torch

    device = next(network.parameters()).device
    for pair in pairs:
        first, second = (
            torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1)[None].float()
            for frame in pair
        )
        with torch.inference_mode():
            flow = network(first, second, NUM_ITERATIONS)[0]
        yield fastest_mean(flow.permute(1, 2, 0).contiguous().cpu().numpy(), share)


def stands_still(between: Iterable[float], ends: tuple[float, float], count: int, side: int) -> bool:
    """Whether the benchmark takes a clip of `count` frames for a still one.

    `between`: the fastest 2 percent of each pair of neighbours; `ends`: of the first and last frame, both ways.
    Units: pixels of frames whose shorter side is `side`.
    Source: Vchitect/VBench 45e79ec, static_filter.py, Apache-2.0.
    """
    threshold, allowed = 3.0 * side / 256, round(2 * count / 16)
    if sum(speed > threshold for speed in between) > allowed:
        return False
    return max(ends) <= threshold * allowed * 2
