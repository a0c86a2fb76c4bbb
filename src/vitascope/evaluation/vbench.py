"""How VBench makes one total out of its dimensions, and the rows that others published."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from vitascope.errors import RequestError, UnknownName


class Dimension(NamedTuple):
    """What a raw value becomes: (raw - low) / (high - low), not clipped, times its weight. Units: 0..1."""

    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0


class Group(NamedTuple):
    """Dimensions that are averaged by their weights, and the group's own weight in the total."""

    weight: float
    dimensions: Mapping[str, Dimension]


class Aggregate(BaseModel):
    """Groups and total of a benchmark. Units: percent.

    A group with a missing dimension has no value, and then the total has none: the reference script counts a
    missing dimension as zero instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    groups: dict[str, float | None]
    total: float | None
    missing: tuple[str, ...]


class Benchmark(NamedTuple):
    """A benchmark's dimensions and how they add up."""

    name: str
    groups: Mapping[str, Group]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """All dimensions, group after group."""
        return tuple(name for group in self.groups.values() for name in group.dimensions)

    def aggregate(self, raw: Mapping[str, float]) -> Aggregate:
        """The groups and the total of raw dimensions. Units: percent in, percent out.

        Raises: UnknownName for a dimension that the benchmark does not have, RequestError for a value outside
        of 0..100.
        """
        for name, value in raw.items():
            if name not in self.dimensions:
                raise UnknownName(f"dimension of {self.name}", name, self.dimensions, param=name)
            if not 0 <= value <= 100:
                raise RequestError(
                    f"{self.name}: {name}={value!r} is not a percentage from 0 to 100", param=name
                )
        scores = {name: _group_score(group, raw) for name, group in self.groups.items()}
        total = None
        if all(score is not None for score in scores.values()):
            weights = {name: group.weight for name, group in self.groups.items()}
            total = sum(weights[name] * (scores[name] or 0.0) for name in scores) / sum(weights.values())
        missing = tuple(name for name in self.dimensions if name not in raw)
        return Aggregate(benchmark=self.name, groups=scores, total=total, missing=missing)


def _group_score(group: Group, raw: Mapping[str, float]) -> float | None:
    if not group.dimensions.keys() <= raw.keys():
        return None
    weighted = [
        weight * (raw[name] / 100 - low) / (high - low)
        for name, (low, high, weight) in group.dimensions.items()
    ]
    return 100 * sum(weighted) / sum(dimension.weight for dimension in group.dimensions.values())


def _plain(*names: str) -> dict[str, Dimension]:
    return {name: Dimension() for name in names}


_CONSISTENCY = {
    "subject_consistency": Dimension(0.1462),
    "background_consistency": Dimension(0.2615),
}
_SMOOTH_AND_DYNAMIC = {
    "motion_smoothness": Dimension(0.706, 0.9975),
    "dynamic_degree": Dimension(weight=0.5),
}
_LOOKS = _plain("aesthetic_quality", "imaging_quality")

#: Source: Vchitect/VBench 45e79ec, scripts/constant.py and scripts/cal_final_score.py, Apache-2.0.
VBENCH = Benchmark(
    "VBench",
    {
        "quality": Group(
            4, {**_CONSISTENCY, "temporal_flickering": Dimension(0.6293), **_SMOOTH_AND_DYNAMIC, **_LOOKS}
        ),
        "semantic": Group(
            1,
            {
                **_plain("object_class", "multiple_objects", "human_action", "color", "spatial_relationship"),
                "scene": Dimension(0, 0.8222),
                "appearance_style": Dimension(0.0009, 0.2855),
                "temporal_style": Dimension(0, 0.364),
                "overall_consistency": Dimension(0, 0.364),
            },
        ),
    },
)

#: Source: as above, scripts/cal_i2v_final_score.py.
VBENCH_I2V = Benchmark(
    "VBench-I2V",
    {
        "i2v": Group(
            1,
            {
                "camera_motion": Dimension(weight=0.1),
                "i2v_subject": Dimension(0.1462),
                "i2v_background": Dimension(0.2615),
            },
        ),
        "quality": Group(1, {**_CONSISTENCY, **_SMOOTH_AND_DYNAMIC, **_LOOKS}),
    },
)

#: Source: as above, VBench-2.0/scripts/constant.py and cal_final_score.py.
VBENCH_2 = Benchmark(
    "VBench-2.0",
    {
        "creativity": Group(1, _plain("composition", "diversity")),
        "commonsense": Group(1, _plain("instance_preservation", "motion_rationality")),
        "controllability": Group(
            1,
            _plain(
                "camera_motion",
                "complex_landscape",
                "complex_plot",
                "dynamic_attribute",
                "dynamic_spatial_relationship",
                "human_interaction",
                "motion_order_understanding",
            ),
        ),
        "human_fidelity": Group(1, _plain("human_anatomy", "human_clothes", "human_identity")),
        "physics": Group(1, _plain("material", "mechanics", "multi_view_consistency", "thermotics")),
    },
)


class PublishedRow(BaseModel):
    """A leaderboard row as its publisher shows it. Units: percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    total: float
    quality: float
    semantic: float
    dimensions: dict[str, float]
    source: str


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """VBench rows with all sixteen dimensions that others published; quoted, not measured."""
    text = files("vitascope.evaluation").joinpath("vbench_published.toml").read_text(encoding="utf-8")
    rows = []
    for entry in tomllib.loads(text)["row"]:
        dimensions = {name: entry.pop(name) for name in VBENCH.dimensions}
        rows.append(PublishedRow(dimensions=dimensions, **entry))
    return tuple(rows)
