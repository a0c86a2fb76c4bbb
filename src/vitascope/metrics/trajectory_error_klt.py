"""How well things follow the paths that were drawn for them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._single import SingleClipMetric
from vitascope.metrics.base import Direction, Tier
from vitascope.tracks import Trajectories

Points = NDArray[np.float32]


class TrajectoryErrorKlt(SingleClipMetric):
    """Mean distance between where things should go and where they went, as a share of the frame's diagonal.

    The point under each path's start is tracked through the clip. A point that cannot be tracked to the end
    makes its path unmeasured; if no path is left, so is the clip. Published figures track with CoTracker.
    """

    min_frames: ClassVar[int] = 2
    unit: ClassVar[str] = "share of the diagonal"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "variant"
    source: ClassVar[str] = (
        "trajectory error of Tora (Zhang et al., arXiv:2407.21705) and DragNUWA; tracked by pyramidal "
        "Lucas-Kanade (Bouguet 2000; OpenCV) with a check backwards instead of CoTracker"
    )

    trajectories: Trajectories | None = None

    @field_validator("trajectories", mode="before")
    @classmethod
    def _from_a_file(cls, said: Any) -> Trajectories | None:
        """Paths as data, or a file of them."""
        return None if said is None else Trajectories.of(said)

    def measure(self, clip: AnalysedClip) -> float | str:
        """Mean over frames and paths."""
        if self.trajectories is None:
            return "no wanted trajectories were given"
        height, width = clip.working_frames.shape[1:3]
        paths = [resampled(path, clip.num_frames) for path in self.trajectories.paths]
        wanted = np.stack(paths) * np.array([width, height], np.float32)
        lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.working_frames]
        found, kept = track(lumas, wanted[:, 0])
        if not kept.any():
            return f"none of {len(paths)} points could be tracked through the clip"
        distance = np.linalg.norm(found[kept] - wanted[kept], axis=-1)
        return float(distance.mean() / np.hypot(width, height))


def resampled(path: tuple[tuple[float, float], ...], num_frames: int) -> Points:
    """The path's place at each frame, its points being evenly spaced in time. Shape: (T, 2)."""
    points = np.array(path, np.float32)
    at = np.linspace(0, len(points) - 1, num_frames)
    steps = np.arange(len(points))
    return np.stack([np.interp(at, steps, points[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def track(
    lumas: list[NDArray[Any]], starts: Points, tolerance: float = 1.0
) -> tuple[Points, NDArray[np.bool_]]:
    """Follow points through a clip, and say which were found all the way, forwards and back.

    Shape: lumas T x (h, w), starts (P, 2) to (P, T, 2) and (P,). Units: pixels; `tolerance` is how far the
    way back may end from where it began.
    Source: Bouguet, Pyramidal implementation of the affine Lucas Kanade feature tracker, 2000 (OpenCV);
    forward-backward check: Kalal et al., ICPR 2010.
    """
    places = [starts.reshape(-1, 1, 2).astype(np.float32)]
    kept = np.ones(len(starts), bool)
    for first, second in pairwise(lumas):
        there, found = _step(first, second, places[-1])
        back, found_back = _step(second, first, there)
        returned = np.linalg.norm(back - places[-1], axis=-1).ravel() <= tolerance
        kept &= found & found_back & returned
        places.append(there)
    return np.concatenate(places, axis=1), kept


def _step(first: NDArray[Any], second: NDArray[Any], places: Points) -> tuple[Points, NDArray[np.bool_]]:
    follow: Any = cv2.calcOpticalFlowPyrLK
    there, found, _ = follow(first, second, places, None, winSize=(21, 21), maxLevel=4)
    return there, found.ravel().astype(bool)
