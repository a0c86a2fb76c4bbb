"""Poses as MimicMotion draws them: OpenPose's body, 68 points of the face and two hands a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitascope.poses import PoseSequence

SURE = 0.3
"""What a joint's score must be above to be drawn. Source: Tencent/MimicMotion at 62f91e1, mimicmotion/dwpose."""

BODY, FACE, HAND = 18, 68, 21
_NECK, _SHOULDERS = 17, (5, 6)
# OpenPose's joints among COCO's 17, whose 18th is the neck between the shoulders.
_OPENPOSE = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_FACE_AT, _LEFT_HAND_AT, _RIGHT_HAND_AT = 23, 91, 112  # in COCO-WholeBody's 133

Points = NDArray[np.float64]


@dataclass(frozen=True)
class FramePose:
    """The people of one frame; `subset` says where in `candidates` a joint stands, -1 for one that was not seen.

    Shape: candidates (18 P, 2), subset and scores (P, 18), faces (P, 68, 2) and hands (2 P, 21, 2) with their
    scores; all left hands come before all right ones. Units: fractions of width and height.
    """

    candidates: Points
    subset: Points
    scores: Points
    faces: Points
    face_scores: Points
    hands: Points
    hand_scores: Points

    @property
    def num_people(self) -> int:
        return len(self.subset)

    def moved(self, scale: Points, shift: Points) -> FramePose:
        """The same people elsewhere: every point times `scale` plus `shift`. Shape: (2,) each."""
        return FramePose(
            self.candidates * scale + shift,
            self.subset,
            self.scores,
            self.faces * scale + shift,
            self.face_scores,
            self.hands * scale + shift,
            self.hand_scores,
        )


def frame_poses(poses: PoseSequence) -> list[FramePose]:
    """The frames of a pose sequence in any of its layouts; layouts without face and hands have none to draw."""
    return [_frame_pose(np.array(frame, np.float64), poses.layout) for frame in poses.frames]


def _frame_pose(people: Points, layout: str) -> FramePose:
    if not len(people):
        people = np.zeros((0, 133, 3))
        layout = "openpose-18"
    body = people[:, :BODY] if layout == "openpose-18" else _with_neck(people[:, :17])[:, _OPENPOSE]
    scores = body[..., 2]
    flat = np.arange(body.shape[0] * BODY, dtype=np.float64).reshape(-1, BODY)
    if layout == "coco-wholebody-133":
        faces = people[:, _FACE_AT : _FACE_AT + FACE]
        hands = np.concatenate([people[:, at : at + HAND] for at in (_LEFT_HAND_AT, _RIGHT_HAND_AT)])
    else:
        faces, hands = np.zeros((0, FACE, 3)), np.zeros((0, HAND, 3))
    return FramePose(
        candidates=body[..., :2].reshape(-1, 2),
        subset=np.where(scores > SURE, flat, -1.0),
        scores=scores,
        faces=faces[..., :2],
        face_scores=faces[..., 2],
        hands=hands[..., :2],
        hand_scores=hands[..., 2],
    )


def _with_neck(coco: Points) -> Points:
    """COCO's joints and a neck, which is sure where both shoulders are. Shape: (P, 17, 3) to (P, 18, 3)."""
    shoulders = coco[:, _SHOULDERS]
    neck = shoulders.mean(axis=1)
    neck[:, 2] = (shoulders[..., 2] > SURE).all(axis=1)
    return np.concatenate([coco, neck[:, None]], axis=1)
