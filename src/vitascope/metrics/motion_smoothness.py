"""Smoothness of motion, as the benchmark measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Direction, Metric, Score, Tier


class MotionSmoothness(Metric):
    """How well AMT-S tells every other frame from its neighbours: 1 if each lies exactly between them.

    A still clip is perfectly smooth: read it beside the dynamic degree.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/motion_smoothness.py, Apache-2.0, at the "
        "clip's own size; AMT-S (Li et al., CVPR 2023), own reading equal to upstream"
    )

    weights: Path | None = None

    def load(self, placement: Placement) -> Any:
        """The network. Raises: WeightsMissing."""
        file = weights_file("amt-s.pth", self.weights, "MCG-NKU/AMT", "weights")
        from vitascope.models.amt import load_amt

        return load_amt(file, placement.resolve().device)

    def modules_key(self) -> Any:
        """The weights file alone."""
        return "amt", str(self.weights)

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: RequestError under three frames, WeightsMissing."""
        if clip.num_frames < 3:
            raise RequestError(f"{self.name} needs three frames or more, not {clip.num_frames}")
        network = self.load(Placement()) if modules is None else modules
        from vitascope.models.amt import SMALLEST_SIDE

        if min(clip.height, clip.width) < SMALLEST_SIDE:
            return self.unmeasured(
                f"frames of {clip.width} x {clip.height} are too small for AMT-S, which gives no number under "
                f"{SMALLEST_SIDE} pixels a side"
            )
        errors = []
        for start in range(0, clip.num_frames - 2, 2):
            first, middle, last = clip.frames[start : start + 3]
            errors.append(np.abs(_between(first, last, network).astype(np.int16) - middle).mean())
        return self.scored(float(1 - np.mean(errors) / 255))


def _between(first: Pixels, last: Pixels, network: Any) -> Pixels:
    """The frame halfway, cut down to whole levels as the benchmark does. Shape: (H, W, 3)."""
    import torch

    device = next(network.parameters()).device
    pair = (
        torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1)[None] / 255
        for frame in (first, last)
    )
    with torch.inference_mode():
        between = network(*pair)[0]
    return (255 * between).permute(1, 2, 0).cpu().numpy().astype(np.uint8)
