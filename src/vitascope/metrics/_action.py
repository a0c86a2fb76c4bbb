"""How the benchmark asks whether people do what was asked for: one rule for every network of Kinetics-400."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.metrics._embedding import prompt_of
from vitascope.metrics._sampled import middle_samples
from vitascope.metrics.base import Direction, Metric, Score

NUM_FRAMES, SIDE, SHORTER_SIDE = 16, 224, 256
TOP, MIN_PROBABILITY = 5, 0.85
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ActionMetric(Metric):
    """1 if the action is among the five likeliest and sure enough, 0 if not.

    The action is the one given, else what follows "person is" in the prompt.
    """

    unit: ClassVar[str] = "share"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    direction: ClassVar[Direction] = "higher"

    action: str | None = None
    prompt: str | None = None

    @abstractmethod
    def labels(self, modules: Any) -> Sequence[str]:
        """The names of the classes, in the order of the scores."""

    @abstractmethod
    def logits(self, pixels: Any, modules: Any) -> Any:
        """A score for each class. Shape: (1, 16, 3, 224, 224) to (K,)."""

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at. Raises: WeightsMissing."""
        import torch

        wanted = (self.action or _after_person_is(self.prompt or prompt_of(clip))).lower()
        modules = self.load(Placement()) if modules is None else modules
        labels = [label.lower() for label in self.labels(modules)]
        if wanted not in labels:
            return self.unmeasured(
                f"{wanted!r} is no action of Kinetics-400" if wanted else "no action given"
            )
        with torch.inference_mode():
            chances = self.logits(_prepared(clip), modules).sigmoid().float().cpu()
        best, which = chances.topk(min(TOP, len(labels)))
        # The benchmark rounds first.
        sure = [
            labels[n]
            for chance, n in zip(best.tolist(), which.tolist(), strict=True)
            if round(chance, 4) >= MIN_PROBABILITY
        ]
        return self.scored(float(wanted in sure))


def _after_person_is(prompt: str | None) -> str:
    _, found, action = (prompt or "").lower().rpartition("person is ")
    return action.strip(" .\n") if found else ""


def _prepared(clip: Clip) -> Any:
    """Sixteen frames, shorter side 256, the square in the middle. Shape: (1, 16, 3, 224, 224) float32."""
    import torch

    scaled = (SHORTER_SIDE * clip.width, SHORTER_SIDE * clip.height)
    width, height = (side // min(clip.width, clip.height) for side in scaled)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    frames = [
        cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=cv2.INTER_LINEAR)[
            top : top + SIDE, left : left + SIDE
        ]
        for frame in middle_samples(clip, NUM_FRAMES)
    ]
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(table).view(3, 1, 1) for table in (_MEAN, _DEVIATION))
    return ((pixels - mean) / deviation)[None]
