"""Whether people do what was asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.metrics._embedding import missing_weights, prompt_of
from vitascope.metrics._sampled import middle_samples
from vitascope.metrics.base import Direction, Metric, Score, Tier

NUM_FRAMES, SIDE, SHORTER_SIDE = 16, 224, 256
TOP, MIN_PROBABILITY = 5, 0.85
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class HumanActionVideomae(Metric):
    """1 if the action is among the five likeliest of Kinetics-400 and sure enough, 0 if not.

    The action is the one given, else what follows "person is" in the prompt.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/human_action.py, Apache-2.0: its rule; "
        "VideoMAE (Tong et al., NeurIPS 2022, CC BY-NC 4.0, in transformers) instead of UMT, so that its "
        "probabilities, and with them the share over 0.85, are not the benchmark's"
    )

    weights: str = "MCG-NJU/videomae-large-finetuned-kinetics"
    action: str | None = None
    prompt: str | None = None

    def load(self, placement: Placement) -> Any:
        """The network. Raises: WeightsMissing."""
        from transformers import VideoMAEForVideoClassification

        with missing_weights(self.weights):
            network = VideoMAEForVideoClassification.from_pretrained(self.weights, local_files_only=True)
        return network.eval().to(placement.resolve().device)

    def modules_key(self) -> Any:
        """The network alone."""
        return self.weights

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: WeightsMissing."""
        import torch

        wanted = (self.action or _after_person_is(self.prompt or prompt_of(clip))).lower()
        network = self.load(Placement()) if modules is None else modules
        labels = {number: name.lower() for number, name in network.config.id2label.items()}
        if wanted not in labels.values():
            return self.unmeasured(
                f"{wanted!r} is no action of Kinetics-400" if wanted else "no action given"
            )
        with torch.inference_mode():
            chances = network(_prepared(clip).to(network.device)).logits[0].sigmoid().float().cpu()
        best, which = chances.topk(min(TOP, len(labels)))
        sure = {labels[int(n)] for chance, n in zip(best, which, strict=True) if chance >= MIN_PROBABILITY}
        return self.scored(float(wanted in sure))


def _after_person_is(prompt: str | None) -> str:
    _, found, action = (prompt or "").lower().partition("person is ")
    return action.strip(" .") if found else ""


def _prepared(clip: Clip) -> Any:
    """Sixteen frames, shorter side 256, the square in the middle. Shape: (1, 16, 3, 224, 224) float32."""
    import torch

    frames = np.ascontiguousarray(middle_samples(clip, NUM_FRAMES))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    scale = SHORTER_SIDE / min(height, width)
    size = (round(height * scale), round(width * scale))
    pixels = torch.nn.functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    pixels = pixels[..., top : top + SIDE, left : left + SIDE] / 255
    mean, deviation = (torch.tensor(table).view(3, 1, 1) for table in (_MEAN, _DEVIATION))
    return ((pixels - mean) / deviation)[None]
