"""Draws poses as the skeletons that MimicMotion was trained on: the surer a joint, the brighter.

Source: Tencent/MimicMotion at 62f91e1, mimicmotion/dwpose/util.py; colours and limbs are OpenPose's (Cao et al.,
arXiv 1812.08008).
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.models.mimicmotion.keypoints import SURE, FramePose, Points

_CANVAS = 2160  # pixels of the shorter side that are drawn on
_LIMB_WIDTH, _JOINT_RADIUS, _FACE_RADIUS = 4, 4, 3
_LIMB_BRIGHTNESS = 0.6
_ON_SCREEN = 0.01
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_FINGERS = tuple(
    (0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)
)  # five chains of four bones, all from the wrist

Canvas = NDArray[np.uint8]


def draw_pose(pose: FramePose, height: int, width: int) -> Canvas:
    """A frame's people on black. Shape: (3, height, width), RGB."""
    scale = _CANVAS / min(height, width)
    canvas: Canvas = np.zeros((int(height * scale), int(width * scale), 3), np.uint8)
    _draw_limbs(canvas, pose)
    canvas = (canvas * _LIMB_BRIGHTNESS).astype(np.uint8)
    _draw_joints(canvas, pose)
    for hand, scores in zip(pose.hands, pose.hand_scores, strict=True):
        _draw_hand(canvas, hand, scores)
    for face, scores in zip(pose.faces, pose.face_scores, strict=True):
        _draw_face(canvas, face, scores)
    return np.ascontiguousarray(cv2.resize(canvas, (width, height))[..., ::-1].transpose(2, 0, 1))


def _pixels(canvas: Canvas, points: Points) -> Points:
    height, width = canvas.shape[:2]
    return points * (width, height)


def _draw_limbs(canvas: Canvas, pose: FramePose) -> None:
    for (start, end), colour in zip(_LIMBS, _COLOURS, strict=False):
        for indices, scores in zip(pose.subset.astype(int), pose.scores, strict=True):
            if scores[start] < SURE or scores[end] < SURE:
                continue
            (x0, y0), (x1, y1) = _pixels(canvas, pose.candidates[indices[[start, end]]])
            centre = int((x0 + x1) / 2), int((y0 + y1) / 2)
            axes = int(math.hypot(x0 - x1, y0 - y1) / 2), _LIMB_WIDTH
            angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
            polygon = np.array(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
            cv2.fillConvexPoly(canvas, polygon, _dimmed(colour, scores[start] * scores[end]))


def _draw_joints(canvas: Canvas, pose: FramePose) -> None:
    for joint, colour in enumerate(_COLOURS):
        for indices, scores in zip(pose.subset.astype(int), pose.scores, strict=True):
            if indices[joint] == -1:
                continue
            x, y = _pixels(canvas, pose.candidates[indices[joint]])
            cv2.circle(canvas, (int(x), int(y)), _JOINT_RADIUS, _dimmed(colour, scores[joint]), -1)


def _dimmed(colour: tuple[int, int, int], score: float) -> tuple[int, int, int]:
    red, green, blue = (int(part * score) for part in colour)
    return red, green, blue


def _draw_hand(canvas: Canvas, hand: Points, scores: Points) -> None:
    points = [(int(x), int(y)) for x, y in _pixels(canvas, hand)]
    for bone, (start, end) in enumerate(_FINGERS):
        if min(*points[start], *points[end]) > _ON_SCREEN:
            brightness = int(scores[start] * scores[end] * 255)
            hue = colorsys.hsv_to_rgb(bone / len(_FINGERS), 1.0, 1.0)
            colour = [part * brightness for part in hue]
            cv2.line(canvas, points[start], points[end], colour, thickness=2)
    for (x, y), score in zip(points, scores, strict=True):
        if min(x, y) > _ON_SCREEN:
            cv2.circle(canvas, (x, y), _JOINT_RADIUS, (0, 0, int(score * 255)), -1)


def _draw_face(canvas: Canvas, face: Points, scores: Points) -> None:
    for (x, y), score in zip(_pixels(canvas, face).astype(int), scores, strict=True):
        if min(x, y) > _ON_SCREEN:
            grey = int(score * 255)
            cv2.circle(canvas, (int(x), int(y)), _FACE_RADIUS, (grey, grey, grey), -1)
