"""Moves driving poses to where, and to the size in which, the picture's person stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitascope.models.mimicmotion.keypoints import FramePose, Points

# Nose, neck, shoulders, hips, knees, ankles, eyes and ears: arms swing, and would pull the fit along.
_JOINTS = (0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)


@dataclass(frozen=True)
class Alignment:
    """Where points of the driving clip come to lie in the picture: times `scale`, plus `shift`. Shape: (2,) each."""

    scale: Points
    shift: Points

    def of(self, pose: FramePose) -> FramePose:
        """A frame's people, moved."""
        return pose.moved(self.scale, self.shift)


def align(
    reference: FramePose,
    driving: Sequence[FramePose],
    driving_size: tuple[int, int],
    reference_size: tuple[int, int],
) -> Alignment | None:
    """How driving poses have to be moved to match the picture's first person; None where nothing can be compared.

    Heights are fitted by least squares over all frames that show one person; the width follows, so that bodies
    keep their proportions. None: no joint of the person is sure, no frame shows exactly one person, or all compared
    joints stand at one height.

    Units: sizes (height, width) in pixels.
    Source: Tencent/MimicMotion at 62f91e1, mimicmotion/dwpose/preprocess.py, `get_video_pose`.
    """
    if not reference.num_people:
        return None
    seen = [joint for joint in _JOINTS if reference.subset[0, joint] >= 0]
    bodies = [pose.candidates[seen] for pose in driving if len(pose.candidates) == 18]
    if not seen or not bodies:
        return None
    moving = np.stack(bodies)
    if np.ptp(moving[..., 1]) == 0:
        return None
    resting = np.broadcast_to(reference.candidates[seen], moving.shape)
    scale_y, shift_y = np.polyfit(moving[..., 1].ravel(), resting[..., 1].ravel(), 1)
    (frame_height, frame_width), (height, width) = driving_size, reference_size
    scale_x = scale_y / (frame_height / frame_width / height * width)
    shift_x = np.mean(resting[..., 0] - moving[..., 0] * scale_x)
    return Alignment(np.array([scale_x, scale_y]), np.array([shift_x, shift_y]))
