"""The shelf of metrics: one file each."""

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._frechet import frechet_distance, frechet_video_distance
from vitascope.metrics._measure import measure
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Metric, Score, Tier
from vitascope.shelf import Shelf

METRICS: Shelf[Metric] = Shelf("vitascope.metrics", Metric, "metric")

__all__ = [
    "METRICS",
    "AnalysedClip",
    "Direction",
    "Metric",
    "Score",
    "SingleClipMetric",
    "Tier",
    "frechet_distance",
    "frechet_video_distance",
    "measure",
]
