"""From drawn paths to the flow of a clip: what moves where between two frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.errors import UnsupportedTask
from vitascope.tracks import Trajectories

Cell = tuple[int, int]
CANVAS = 256  # Tora's points are whole numbers on a canvas of this side
KERNEL_SIZE = 99
SIGMA = 10.0


def canvas_tracks(trajectories: Trajectories) -> list[list[Cell]]:
    """Paths as Tora reads them: whole points of its canvas.

    Raises: UnsupportedTask for a path of one point, one that never is in the picture, or a point far outside.
    """
    tracks = []
    for number, path in enumerate(trajectories.paths, 1):
        if len(path) < 2:
            raise UnsupportedTask(
                f"path {number} has {len(path)} point; a movement needs two or more", param="trajectories"
            )
        for x, y in path:
            if not (-1 <= x <= 2 and -1 <= y <= 2):
                raise UnsupportedTask(
                    f"path {number} has the point ({x:g}, {y:g}), farther outside than the picture is wide or high; "
                    "points are fractions of its width and height, 0 to 1 within it",
                    param="trajectories",
                )
        if not any(_within(*point) for point in path[:-1]):
            x, y = path[0]
            raise UnsupportedTask(
                f"path {number} starts at ({x:g}, {y:g}) and is never in the picture before its last point; points are "
                "fractions of its width and height, 0 to 1 within it",
                param="trajectories",
            )
        # A path that was scaled there and back must find its cell again.
        tracks.append([(floor(x * CANVAS + 1e-6), floor(y * CANVAS + 1e-6)) for x, y in path])
    return tracks


def leaves_picture(trajectories: Trajectories) -> bool:
    """Whether a point from which a movement starts is outside the picture: that movement leaves no trace."""
    return any(not _within(*point) for path in trajectories.paths for point in path[:-1])


def _within(x: float, y: float) -> bool:
    return 0 <= x <= 1 and 0 <= y <= 1


def per_frame(track: Sequence[Cell], num_frames: int) -> list[Cell]:
    """A track with one point a frame: points in between, or some of many.

    Source: alibaba/Tora, `traj_utils.py`, `read_points` and `process_points`.
    """
    points = list(track)
    if len(points) > num_frames:
        points = points[:: len(points) // num_frames][:num_frames]
    if len(points) >= num_frames:
        return [*points[: num_frames - 1], points[-1]]
    gaps = len(points) - 1
    each, more = divmod(num_frames - len(points), gaps)
    placed = []
    for gap, ((x, y), (next_x, next_y)) in enumerate(pairwise(points)):
        parts = each + (gap < more) + 1
        placed += [
            (int(x + part / parts * (next_x - x)), int(y + part / parts * (next_y - y)))
            for part in range(parts)
        ]
    return [*placed, points[-1]]


def on_picture(track: Sequence[Cell], width: int, height: int) -> list[Cell]:
    """A track's pixels in a picture; the canvas' far border is the last pixel."""

    def scaled(at: int, side: int) -> int:
        return side - 1 if at == CANVAS else int(side * at / CANVAS)

    return [(scaled(x, width), scaled(y, height)) for x, y in track]


def flow_of(
    tracks: Sequence[Sequence[Cell]], num_frames: int, width: int, height: int
) -> NDArray[np.float32]:
    """How far things move from each frame to the next, spread around the tracks.

    Shape: (T, H, W, 2) as (dx, dy) at the place that is left; the first frame has none. Units: pixels.
    Source: alibaba/Tora, `traj_utils.py`, `process_traj`.
    """
    flow = np.zeros((num_frames, height, width, 2), np.float32)
    for track in tracks:
        pixels = on_picture(per_frame(track, num_frames), width, height)
        for frame, ((x, y), (next_x, next_y)) in enumerate(pairwise(pixels), 1):
            if 0 <= x < width and 0 <= y < height:
                flow[frame, y, x] = (next_x - x, next_y - y)
    return _spread(flow)


def _spread(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each displacement as a Gaussian hill of its own height."""
    import cv2

    distance = np.arange(KERNEL_SIZE) - KERNEL_SIZE // 2
    kernel: NDArray[Any] = np.exp(-0.5 * (distance[:, None] ** 2 + distance**2) / SIGMA**2)
    for frame in range(1, len(flow)):
        if flow[frame].any():
            flow[frame] = cv2.filter2D(flow[frame], -1, kernel)
    return flow
