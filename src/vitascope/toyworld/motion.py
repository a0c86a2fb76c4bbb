"""How actors move: paths of objects, joints of people, and the camera."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitascope.toyworld.scenes import DIRECTIONS, Actor

Array = NDArray[np.float32]

RADIUS = {"small": 0.33, "medium": 0.42, "big": 0.52}
"""Radius of an object in half frames."""

TRAVEL = 0.52
"""How far a straight motion leads to either side of the centre, in half frames."""

JOINTS = (
    "hip",
    "neck",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_hand",
    "right_shoulder",
    "right_elbow",
    "right_hand",
    "left_hip",
    "left_knee",
    "left_foot",
    "right_hip",
    "right_knee",
    "right_foot",
)
TORSO_WIDTH = {"thin": 0.10, "average": 0.15, "fat": 0.27}
STATURE = {"boy": 0.8, "girl": 0.8}
"""Children are smaller; everyone stands on the same ground."""

_GROUND = 0.78
_THIGH, _SHIN, _ARM, _FOREARM, _TORSO, _HEAD = 0.27, 0.27, 0.22, 0.21, 0.42, 0.27


class ObjectPath(NamedTuple):
    """Where an object is in every frame: centre, turn, radius and which way it faces (1 right, -1 left)."""

    x: Array
    y: Array
    angle: Array
    radius: Array
    facing: float


def object_path(actor: Actor, num_frames: int) -> ObjectPath:
    """The path of an object over a clip. Shape: each array (T,)."""
    u = np.linspace(0.0, 1.0, num_frames, dtype=np.float32)
    x, y, angle, grow = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u), np.ones_like(u)
    facing = 1.0 if actor.phase < 0.5 else -1.0
    tau = 2 * math.pi
    if actor.motion in DIRECTIONS:
        dx, dy = DIRECTIONS[actor.motion]
        reach = TRAVEL if dx == 0 or dy == 0 else 0.88 * TRAVEL
        x, y = dx * reach * (2 * u - 1), dy * reach * (2 * u - 1)
        facing = float(dx) if dx else facing
    elif actor.motion == "bounce":
        y = 0.42 - 0.8 * np.abs(np.sin(math.pi * (2 * u + 0.5 * actor.phase)))
    elif actor.motion == "spin":
        angle = facing * tau * u
    elif actor.motion in ("grow", "shrink"):
        grow = 0.42 + 0.88 * (u if actor.motion == "grow" else 1 - u)
    elif actor.motion == "circle":
        turn = tau * (facing * u + actor.phase)
        x, y = 0.42 * np.cos(turn), 0.42 * np.sin(turn)
    elif actor.motion == "sway":
        swing = np.sin(tau * (2 * u + actor.phase))
        angle, x = 0.42 * swing, 0.10 * swing
    radius = RADIUS[actor.size] * grow
    if actor.place != "centre":
        x, radius = x + (-0.48 if actor.place == "left" else 0.48), 0.88 * radius
    as32 = [np.asarray(v, dtype=np.float32) for v in (x + actor.shift[0], y + actor.shift[1], angle, radius)]
    return ObjectPath(as32[0], as32[1], as32[2], as32[3], facing)


def camera_path(camera: str, num_frames: int) -> Array:
    """Zoom and the point looked at. Shape: (T, 3) as zoom, x, y."""
    u = np.linspace(0.0, 1.0, num_frames, dtype=np.float32)
    path = np.stack([np.ones_like(u), np.zeros_like(u), np.zeros_like(u)], axis=1)
    if camera in ("zoom_in", "zoom_out"):
        path[:, 0] = np.exp(math.log(1.9) * ((u if camera == "zoom_in" else 1 - u) - 0.45))
    elif camera in ("pan_right", "pan_left"):
        path[:, 1] = (0.5 if camera == "pan_right" else -0.5) * (2 * u - 1)
    return path


class _Pose(NamedTuple):
    """Angles from straight down (positive to the right of the screen), and the hip's shift."""

    x: Array
    y: Array
    left_arm: tuple[Array, Array]
    right_arm: tuple[Array, Array]
    left_leg: tuple[Array, Array]
    right_leg: tuple[Array, Array]
    lean: Array


def _gait(u: Array, phase: float, direction: int, running: bool) -> _Pose:
    steps = 3.0 if running else 2.0
    s = np.sin(2 * math.pi * (steps * u + phase))
    swing, bend = (0.85, 1.0) if running else (0.55, 0.45)
    zero = np.zeros_like(u)

    def leg(side: float) -> tuple[Array, Array]:
        thigh = side * swing * s
        return thigh, thigh - direction * bend * (
            0.5 - 0.5 * side * np.cos(2 * math.pi * (steps * u + phase))
        )

    def arm(side: float) -> tuple[Array, Array]:
        upper = -side * swing * s
        return upper, upper + direction * (1.3 if running else 0.4)

    x = direction * 0.55 * (2 * u - 1)
    bob = 0.03 * np.abs(s)
    return _Pose(x, bob, arm(1), arm(-1), leg(1), leg(-1), zero + direction * (0.18 if running else 0.04))


def _in_place(action: str, u: Array, phase: float) -> _Pose:
    zero = np.zeros_like(u)
    beat = np.sin(2 * math.pi * (2 * u + phase))
    half = 0.5 + 0.5 * beat
    x, y, lean = zero, zero, zero
    left_arm, right_arm = (zero - 0.25, zero - 0.15), (zero + 0.25, zero + 0.15)
    left_leg, right_leg = (zero - 0.12, zero - 0.08), (zero + 0.12, zero + 0.08)
    if action == "wave":
        right_arm = (zero + 1.9, 2.75 + 0.55 * np.sin(2 * math.pi * (3 * u + phase)))
    elif action == "jump":
        up = np.abs(np.sin(math.pi * (2 * u + phase)))
        y = 0.10 - 0.42 * up
        bent = 0.7 * (1 - up)
        left_leg, right_leg = (-0.15 - bent, -0.05 + bent), (0.15 + bent, 0.05 - bent)
        left_arm, right_arm = (-0.4 - 1.9 * up, -0.4 - 2.1 * up), (0.4 + 1.9 * up, 0.4 + 2.1 * up)
    elif action == "dance":
        x, lean = 0.12 * beat, 0.15 * beat
        left_arm = (-1.5 - 0.6 * beat, -2.2 - 0.9 * beat)
        right_arm = (1.5 - 0.6 * beat, 2.2 - 0.9 * beat)
        left_leg, right_leg = (
            (-0.25 - 0.3 * half, -0.1 + 0.3 * half),
            (0.25 + 0.3 * (1 - half), 0.1 - 0.3 * (1 - half)),
        )
    elif action == "squat":
        bent = 1.15 * half
        y = (_THIGH + _SHIN) * (1 - np.cos(bent))
        left_leg, right_leg = (-0.15 - bent, -0.15 + bent), (0.15 + bent, 0.15 - bent)
        left_arm, right_arm = (-0.3 - 1.1 * half, -0.3 - 1.1 * half), (0.3 + 1.1 * half, 0.3 + 1.1 * half)
    elif action == "jumping_jacks":
        left_arm, right_arm = (-0.3 - 2.4 * half, -0.3 - 2.5 * half), (0.3 + 2.4 * half, 0.3 + 2.5 * half)
        left_leg, right_leg = (-0.05 - 0.5 * half, -0.05 - 0.5 * half), (0.05 + 0.5 * half, 0.05 + 0.5 * half)
        y = -0.06 * half
    elif action == "arms_up":
        raised = np.clip(u * 1.8 - 0.15, 0, 1)
        left_arm, right_arm = (
            (-0.25 - 2.45 * raised, -0.15 - 2.75 * raised),
            (0.25 + 2.45 * raised, 0.15 + 2.75 * raised),
        )
    return _Pose(x, np.asarray(y), left_arm, right_arm, left_leg, right_leg, np.asarray(lean))


def person_joints(actor: Actor, num_frames: int) -> Array:
    """Every joint of a person in every frame. Shape: (T, len(JOINTS), 2) as x, y in half frames."""
    u = np.linspace(0.0, 1.0, num_frames, dtype=np.float32)
    verb, _, side = actor.motion.partition("_")
    if verb in ("walk", "run"):
        pose = _gait(u, actor.phase, 1 if side == "right" else -1, verb == "run")
    else:
        pose = _in_place(actor.motion, u, actor.phase)

    def reach(origin: Array, angle: Array, length: float) -> Array:
        return np.asarray(
            origin + length * np.stack([np.sin(angle), np.cos(angle)], axis=-1), dtype=np.float32
        )

    hip = np.stack([pose.x + actor.shift[0], 0.24 + pose.y + actor.shift[1]], axis=-1)
    neck = reach(hip, math.pi - pose.lean, _TORSO)
    head = reach(hip, math.pi - pose.lean, _TORSO + _HEAD)
    width = TORSO_WIDTH[actor.build]
    points = [hip, neck, head]
    for sign, arm in ((-1, pose.left_arm), (1, pose.right_arm)):
        shoulder = neck + np.array([sign * (0.05 + 0.45 * width), 0.08], dtype=np.float32)
        elbow = reach(shoulder, arm[0], _ARM)
        points += [shoulder, elbow, reach(elbow, arm[1], _FOREARM)]
    for sign, leg in ((-1, pose.left_leg), (1, pose.right_leg)):
        top = hip + np.array([sign * 0.4 * width, 0], dtype=np.float32)
        knee = reach(top, leg[0], _THIGH)
        points += [top, knee, reach(knee, leg[1], _SHIN)]
    joints = np.stack(points, axis=1)
    stature = STATURE.get(actor.who, 1.0)
    joints[..., 1] = _GROUND + stature * (joints[..., 1] - _GROUND)
    joints[..., 0] = joints[:, :1, 0] + stature * (joints[..., 0] - joints[:, :1, 0])
    return np.asarray(joints, dtype=np.float32)
