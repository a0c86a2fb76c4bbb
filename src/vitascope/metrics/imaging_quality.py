"""How good the frames are technically: sharp, clean, well exposed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Direction, Metric, Score, Tier

_LONGEST = 512


class ImagingQuality(Metric):
    """The quality of the frames by MUSIQ, trained on the ratings of SPAQ, from 0 to about 1."""

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/imaging_quality.py, Apache-2.0; MUSIQ "
        "(Ke et al., ICCV 2021), own reading equal to pyiqa 0.1.10"
    )

    weights: Path | None = None

    def load(self, placement: Placement) -> Any:
        """The network. Raises: WeightsMissing."""
        file = weights_file(
            "musiq_spaq_ckpt-358bb6af.pth",
            self.weights,
            "chaofengc/IQA-PyTorch (release v0.1-weights)",
            "weights",
        )
        from vitascope.models.musiq import load_musiq

        return load_musiq(file, placement.resolve().device)

    def modules_key(self) -> Any:
        """The weights file alone."""
        return "musiq", str(self.weights)

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Mean over the frames of MUSIQ's score, over 100; a reference is not looked at. Raises: WeightsMissing."""
        import torch

        network = self.load(Placement()) if modules is None else modules
        device = next(network.parameters()).device
        scores = []
        with torch.inference_mode():
            for _, frame in clip.windows(1):
                scores.append(float(network(_prepared(frame).to(device))[0]))
        return self.scored(float(np.mean(scores)) / 100)


def _prepared(frames: Pixels) -> Any:
    """Frames from 0 to 1, the longer side 512 or less, resized without antialiasing and not rounded.

    Shape: (T, H, W, 3) uint8 to (T, 3, h, w) float32.
    """
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    if max(height, width) > _LONGEST:
        scale = _LONGEST / max(height, width)
        # The benchmark cuts off; a frame as thin as a line would have no side left.
        size = max(1, int(scale * height)), max(1, int(scale * width))
        pixels = torch.nn.functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return pixels / 255
