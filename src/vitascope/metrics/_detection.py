"""Things in frames, found by their names: OWLv2, and what its metrics share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.metrics._embedding import load_tokenizer, missing_weights
from vitascope.metrics._sampled import middle_samples
from vitascope.metrics.base import Direction, Metric, Score, Tier

NUM_FRAMES, QUERY_TOKENS = 16, 16
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Found(NamedTuple):
    """One thing: what it was asked for as, how sure the network is, and where. Shape: box (4,) x0, y0, x1, y1."""

    name: str
    score: float
    box: NDArray[np.float64]


class Detector(NamedTuple):
    """A loaded network and its tokenizer."""

    network: Any
    tokenizer: Any

    def find(self, frame: Pixels, names: Sequence[str], min_score: float) -> list[Found]:
        """Everything in a frame that is most like one of the names, best first. Units: pixels.

        Source: Minderer et al., Scaling Open-Vocabulary Object Detection, NeurIPS 2023: a square with grey below
        or to the right, the sigmoid of the best name's logit.
        """
        import torch

        device = self.network.device
        tokens = self.tokenizer(
            list(names),
            padding="max_length",
            truncation=True,
            max_length=QUERY_TOKENS,
            return_tensors="pt",
        ).to(device)
        pixels = _square(frame, self.network.config.vision_config.image_size).to(device)
        with torch.inference_mode():
            said = self.network(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
            )
        scores, which = said.logits[0].sigmoid().float().cpu().max(-1)
        middles = said.pred_boxes[0].float().cpu().numpy().astype(np.float64) * max(frame.shape[:2])
        boxes = np.hstack([middles[:, :2] - middles[:, 2:] / 2, middles[:, :2] + middles[:, 2:] / 2])
        order = [n for n in scores.argsort(descending=True).tolist() if scores[n] >= min_score]
        return [Found(names[int(which[n])], float(scores[n]), boxes[n]) for n in order]


def _square(frame: Pixels, side: int) -> Any:
    """A frame as OWLv2 wants it. Shape: (H, W, 3) uint8 to (1, 3, side, side) float32."""
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255
    height, width = pixels.shape[-2:]
    longer = max(height, width)
    padding = (0, longer - width, 0, longer - height)
    pixels = torch.nn.functional.pad(pixels, padding, value=0.5)
    pixels = torch.nn.functional.interpolate(
        pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    mean, deviation = (torch.tensor(table).view(3, 1, 1) for table in (_MEAN, _DEVIATION))
    return (pixels.clamp(0, 1) - mean) / deviation


class DetectionMetric(Metric):
    """A metric of things that are looked for by name in sixteen frames.

    `min_score`: how sure the network must be; the choice is ours, the benchmark's detector decides otherwise.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"
    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True

    weights: str = "google/owlv2-base-patch16-ensemble"
    min_score: float = Field(0.3, gt=0, lt=1)

    def load(self, placement: Placement) -> Detector:
        """The network. Raises: WeightsMissing."""
        from transformers import Owlv2ForObjectDetection

        with missing_weights(self.weights):
            network = Owlv2ForObjectDetection.from_pretrained(self.weights, local_files_only=True)
        return Detector(network.eval().to(placement.resolve().device), load_tokenizer(self.weights))

    def modules_key(self) -> Any:
        """The network alone: what is looked for needs no other modules."""
        return self.weights

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: WeightsMissing."""
        names = self.names()
        if isinstance(names, str):
            return self.unmeasured(names)
        detector: Detector = self.load(Placement()) if modules is None else modules
        frames = middle_samples(clip, NUM_FRAMES)
        measured = self.judge([detector.find(frame, names, self.min_score) for frame in frames])
        return self.unmeasured(measured) if isinstance(measured, str) else self.scored(measured)

    @abstractmethod
    def names(self) -> list[str] | str:
        """What to look for, or why there is nothing to."""

    @abstractmethod
    def judge(self, frames: Sequence[Sequence[Found]]) -> float | str:
        """The value of what was found in each frame, or why there is none."""


def named(thing: str) -> str:
    """A thing as OWLv2 is asked for it."""
    return f"a photo of a {thing}"


GRIT = "OWLv2 (Minderer et al., NeurIPS 2023, Apache-2.0, in transformers) instead of GRiT"


def benchmark_rule(file: str) -> str:
    """The source of a metric that follows one of the benchmark's rules with this detector."""
    return f"VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/{file}.py, Apache-2.0: its rule; {GRIT}"
