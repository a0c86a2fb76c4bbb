"""Whether people do what was asked for, by a network that transformers reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from vitascope.engine.placement import Placement
from vitascope.metrics._action import ActionMetric
from vitascope.metrics._embedding import missing_weights
from vitascope.metrics.base import Tier


class HumanActionVideomae(ActionMetric):
    """1 if the action is among the five likeliest of Kinetics-400 to VideoMAE and sure enough, 0 if not.

    The action is the one given, else what follows "person is" in the prompt.
    """

    tier: ClassVar[Tier] = "variant"
    needs_weights: ClassVar[bool] = True
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/human_action.py, Apache-2.0: its rule; "
        "VideoMAE (Tong et al., NeurIPS 2022, CC BY-NC 4.0, in transformers) instead of UMT, so that its "
        "probabilities, and with them the share over 0.85, are not the benchmark's"
    )

    weights: str = "MCG-NJU/videomae-large-finetuned-kinetics"

    def load(self, placement: Placement) -> Any:
        """The network. Raises: WeightsMissing."""
        from transformers import VideoMAEForVideoClassification

        with missing_weights(self.weights):
            network = VideoMAEForVideoClassification.from_pretrained(self.weights, local_files_only=True)
        return network.eval().to(placement.resolve().device)

    def modules_key(self) -> Any:
        """The network alone."""
        return self.weights

    def labels(self, modules: Any) -> Sequence[str]:
        """The class names of the checkpoint's config."""
        names = modules.config.id2label
        return [names[number] for number in range(len(names))]

    def logits(self, pixels: Any, modules: Any) -> Any:
        """VideoMAE's score for each class."""
        return modules(pixels.to(modules.device)).logits[0]
