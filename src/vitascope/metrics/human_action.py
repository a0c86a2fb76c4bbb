"""Whether people do what was asked for, as VBench measures it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from vitascope.engine.placement import Placement
from vitascope.errors import WeightsMissing
from vitascope.metrics._action import ActionMetric
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Tier

WEIGHTS, CATEGORIES = "l16_ptk710_ftk710_ftk400_f16_res224.pth", "kinetics_400_categories.txt"
NUM_CLASSES = 400


class UmtModules(NamedTuple):
    """The network and the names of its classes."""

    network: Any
    labels: Sequence[str]


class HumanAction(ActionMetric):
    """1 if the action is among the five likeliest of Kinetics-400 to UMT and sure enough, 0 if not.

    The action is the one given, else what follows "person is" in the prompt.
    """

    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/human_action.py, Apache-2.0; UMT "
        "(Li et al., ICCV 2023), own reading equal to the code there"
    )

    weights: Path | None = None
    categories: Path | None = None

    def load(self, placement: Placement) -> UmtModules:
        """The network, and the list that the benchmark keeps of its classes. Raises: WeightsMissing."""
        file = weights_file(WEIGHTS, self.weights, "OpenGVLab/VBench_Used_Models", "weights")
        beside = file.with_name(CATEGORIES)
        given = self.categories or (beside if beside.is_file() else None)
        labels = read_categories(
            weights_file(CATEGORIES, given, "Vchitect/VBench (vbench/third_party/umt)", "categories")
        )
        from vitascope.models.umt import load_umt

        return UmtModules(load_umt(file, placement.resolve().device), labels)

    def modules_key(self) -> Any:
        """The weights files alone."""
        return "umt", str(self.weights), str(self.categories)

    def labels(self, modules: UmtModules) -> Sequence[str]:
        """The class names of the category file."""
        return modules.labels

    def logits(self, pixels: Any, modules: UmtModules) -> Any:
        """UMT's score for each class."""
        network = modules.network
        return network(pixels.to(next(network.parameters()).device))[0]


def read_categories(file: Path) -> list[str]:
    """The names of the 400 classes by number, from lines of a name, a tab and a number. Raises: WeightsMissing."""
    try:
        rows = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        names = {int(number): name.strip() for name, number in rows}
        return [names[number] for number in range(NUM_CLASSES)]
    except (ValueError, KeyError) as error:
        raise WeightsMissing(
            f"{str(file)!r} does not list the {NUM_CLASSES} classes of Kinetics, each a name, a tab and a number "
            f"from 0: {error}"
        ) from error
