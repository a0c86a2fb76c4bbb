"""Draw scenes as clips: anti-aliased, batched, the same pixels every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.backgrounds import PAINTERS
from vitascope.toyworld.motion import JOINTS, STATURE, TORSO_WIDTH, camera_path, object_path, person_joints
from vitascope.toyworld.scenes import BACKGROUNDS, COLOURS, KINDS, Scene
from vitascope.toyworld.shapes import DRAWINGS, Layer, circle, ellipse, segment

NUM_FRAMES = 17
SIZE = 128
FPS = 8
PERSON = len(KINDS)
"""The kind number of a person, after those of all objects."""

SLOTS = 2
"""The most actors that a scene has."""

_JOINT = {name: i for i, name in enumerate(JOINTS)}
_SKIN = np.array([[0.99, 0.85, 0.72], [0.45, 0.28, 0.18]], dtype=np.float32)
_HAIR = np.array(
    [[0.12, 0.08, 0.06], [0.45, 0.25, 0.10], [0.86, 0.68, 0.30], [0.55, 0.12, 0.06]], dtype=np.float32
)


@dataclass(frozen=True)
class Plan:
    """Scenes turned into numbers, ready to be drawn on any device.

    Shape: `background` (B,), `variety` (B, 6), `camera` (B, T, 3), `kind` (B, S) with -1 for no actor,
    `colour` (B, S, 3), `path` (B, S, T, 4) as x, y, angle, radius, `facing` (B, S),
    `joints` (B, T, J, 2), `person` (B, 12): torso width, stature, long hair, trousers, skin and hair colour.
    """

    background: NDArray[np.int64]
    variety: NDArray[np.float32]
    camera: NDArray[np.float32]
    kind: NDArray[np.int64]
    colour: NDArray[np.float32]
    path: NDArray[np.float32]
    facing: NDArray[np.float32]
    joints: NDArray[np.float32]
    person: NDArray[np.float32]


class Drawn(NamedTuple):
    """Clips and what is where in them.

    Shape: `frames` (B, T, H, W, 3) in 0..1; `cover` (B, S, T, H, W), how much of a pixel each actor fills.
    """

    frames: Tensor
    cover: Tensor


def plan(scenes: Sequence[Scene], num_frames: int = NUM_FRAMES) -> Plan:
    """Work out where everything is in every frame of every scene."""
    n = len(scenes)
    made = Plan(
        background=np.array([BACKGROUNDS.index(s.background) for s in scenes], dtype=np.int64),
        variety=np.array([s.variety for s in scenes], dtype=np.float32),
        camera=np.stack([camera_path(s.camera, num_frames) for s in scenes]),
        kind=np.full((n, SLOTS), -1, dtype=np.int64),
        colour=np.zeros((n, SLOTS, 3), dtype=np.float32),
        path=np.zeros((n, SLOTS, num_frames, 4), dtype=np.float32),
        facing=np.ones((n, SLOTS), dtype=np.float32),
        joints=np.zeros((n, num_frames, len(JOINTS), 2), dtype=np.float32),
        person=np.zeros((n, 12), dtype=np.float32),
    )
    for i, scene in enumerate(scenes):
        for slot, actor in enumerate(scene.actors):
            made.colour[i, slot] = COLOURS[actor.colour]
            if actor.kind == "person":
                made.kind[i, slot] = PERSON
                made.joints[i] = person_joints(actor, num_frames)
                skin = _SKIN[0] + actor.tone * (_SKIN[1] - _SKIN[0])
                hair = _HAIR[int(actor.hair * 3.999)]
                shape = (
                    TORSO_WIDTH[actor.build],
                    STATURE.get(actor.who, 1.0),
                    actor.who in ("woman", "girl"),
                )
                made.person[i] = (*shape, *COLOURS[actor.trousers], *skin, *hair)
            else:
                made.kind[i, slot] = KINDS.index(actor.kind)
                path = object_path(actor, num_frames)
                made.path[i, slot] = np.stack([path.x, path.y, path.angle, path.radius], axis=1)
                made.facing[i, slot] = path.facing
    return made


def _composite(canvas: Tensor, layers: list[Layer], scale: Tensor, pixel: float) -> tuple[Tensor, Tensor]:
    """Draw layers over a canvas; also how much of each pixel they fill together."""
    cover = torch.zeros_like(canvas[..., 0])
    for layer in layers:
        distance = layer.distance * scale
        alpha = (0.5 - distance / pixel).clamp(0, 1)
        colour = layer.colour
        if layer.shaded:
            rim = (0.70 + 0.30 * (-distance / 0.10)).clamp(0.70, 1.0)
            colour = colour * rim[..., None]
        canvas = torch.lerp(canvas, colour.expand_as(canvas), alpha[..., None])
        cover = torch.maximum(cover, alpha)
    return canvas, cover


def _person_layers(x: Tensor, y: Tensor, joints: Tensor, person: Tensor, shirt: Tensor) -> list[Layer]:
    """Shape: x, y (b, T, H, W); joints (b, T, J, 2); person (b, 12); shirt (b, 1, 1, 1, 3)."""

    def at(name: str) -> tuple[Tensor, Tensor]:
        point = joints[:, :, _JOINT[name], :, None, None]
        return point[:, :, 0], point[:, :, 1]

    def limb(start: str, end: str, radius: float) -> Tensor:
        return segment(x, y, at(start), at(end)) - radius * stature

    width, stature, long_hair = (person[:, i].view(-1, 1, 1, 1) for i in range(3))
    trousers, skin, hair = (person[:, i : i + 3].view(-1, 1, 1, 1, 3) for i in (3, 6, 9))
    hx, hy = at("head")
    hx, hy = (x - hx) / stature, (y - hy) / stature
    tresses = torch.maximum(ellipse(hx, hy - 0.10, 0.235, 0.30), 0.5 - long_hair + 0 * hx)
    layers = [Layer(tresses, hair)]
    for side in ("left", "right"):
        leg = torch.minimum(
            limb(f"{side}_hip", f"{side}_knee", 0.085), limb(f"{side}_knee", f"{side}_foot", 0.075)
        )
        layers.append(Layer(leg, trousers))
        fx, fy = at(f"{side}_foot")
        layers.append(Layer(ellipse(x - fx, y - fy, 0.10, 0.065), trousers.new_tensor([0.22, 0.13, 0.10])))
    nx, ny = at("neck")
    px, py = at("hip")
    chest = (
        segment(x, y, (nx, ny + 0.12 * stature), (px, py - 0.05 * stature)) - (0.05 + 0.62 * width) * stature
    )
    waist = torch.hypot((x - (0.4 * nx + 0.6 * px)) / (0.03 + width), (y - (0.4 * ny + 0.6 * py)) / 0.24) - 1
    torso = torch.minimum(chest, waist * (0.03 + width).clamp_max(0.2) * stature)
    layers.append(Layer(torso, shirt, True))
    for side in ("left", "right"):
        layers.append(Layer(limb(f"{side}_elbow", f"{side}_hand", 0.052), skin))
        layers.append(Layer(limb(f"{side}_shoulder", f"{side}_elbow", 0.068), shirt * 0.88))
    layers.append(Layer(circle(hx, hy, 0.20), skin, True))
    cap = torch.maximum(circle(hx, hy + 0.015, 0.215), hy + 0.055)
    layers.append(Layer(cap, hair))
    layers.append(
        Layer(torch.hypot(hx.abs() - 0.075, hy - 0.015) - 0.032, skin.new_tensor([0.06, 0.05, 0.06]))
    )
    smile = torch.maximum((torch.hypot(hx, hy - 0.06) - 0.075).abs() - 0.014, 0.085 - hy)
    layers.append(Layer(smile, skin.new_tensor([0.55, 0.15, 0.15])))
    return layers


class _Artist:
    """Draws one plan on one device; rows that need the same drawing are drawn together."""

    def __init__(self, made: Plan, size: int, device: torch.device | str) -> None:
        self.plan = made
        self.device = torch.device(device)
        self.pixel = 2.0 / size
        centre = (torch.arange(size, device=self.device, dtype=torch.float32) + 0.5) * self.pixel - 1
        zoom, look_x, look_y = (self._on(made.camera[..., i])[..., None, None] for i in range(3))
        self.zoom = zoom
        self.x = centre.view(1, 1, 1, -1) / zoom + look_x
        self.y = centre.view(1, 1, -1, 1) / zoom + look_y
        self.size = size

    def _on(self, array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _rows(self, chosen: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(np.flatnonzero(chosen)).to(self.device)

    def backgrounds(self) -> Tensor:
        made = self.plan
        clips, frames = made.camera.shape[:2]
        canvas = torch.empty(clips, frames, self.size, self.size, 3, device=self.device)
        variety = self._on(made.variety).view(clips, -1, 1, 1, 1)
        resting = np.abs(made.camera - made.camera[:, :1]).max(axis=(1, 2)) == 0
        for number, name in enumerate(BACKGROUNDS):
            for still in (True, False):
                rows = self._rows((made.background == number) & (resting == still))
                if len(rows):
                    moments = slice(0, 1) if still else slice(None)
                    x, y = self.x[rows, moments], self.y[rows, moments]
                    x, y = x.expand(-1, -1, self.size, -1), y.expand(-1, -1, -1, self.size)
                    picture = PAINTERS[name](x, y, variety[rows], self.pixel)
                    canvas[rows] = picture.expand(-1, frames, -1, -1, -1)
        return canvas

    def actors(self, canvas: Tensor, slot: int) -> Tensor:
        """Draw the actors of a slot into the canvas; returns how much of every pixel they fill."""
        made = self.plan
        cover = torch.zeros(canvas.shape[:-1], device=self.device)
        for number in np.unique(made.kind[:, slot]):
            if number < 0:
                continue
            chosen = made.kind[:, slot] == number
            rows = self._rows(chosen)
            colour = self._on(made.colour[chosen, slot]).view(-1, 1, 1, 1, 3)
            x, y, zoom = self.x[rows], self.y[rows], self.zoom[rows]
            if number == PERSON:
                x, y = torch.broadcast_tensors(x, y)
                layers = _person_layers(
                    x, y, self._on(made.joints[chosen]), self._on(made.person[chosen]), colour
                )
                scale = zoom
            else:
                local_x, local_y, radius = self._local(x, y, slot, chosen)
                layers = DRAWINGS[KINDS[number]](local_x, local_y, colour)
                scale = radius * zoom
            canvas[rows], cover[rows] = _composite(canvas[rows], layers, scale, self.pixel * 1.2)
        return cover

    def _local(
        self, x: Tensor, y: Tensor, slot: int, chosen: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor]:
        path = self._on(self.plan.path[chosen, slot])
        at_x, at_y, angle, radius = (path[..., i, None, None] for i in range(4))
        facing = self._on(self.plan.facing[chosen, slot]).view(-1, 1, 1, 1)
        dx, dy = (x - at_x) / radius, (y - at_y) / radius
        cos, sin = angle.cos(), angle.sin()
        return facing * (cos * dx + sin * dy), cos * dy - sin * dx, radius


@torch.no_grad()
def draw(made: Plan, size: int = SIZE, device: torch.device | str = "cpu") -> Drawn:
    """Draw a plan, with the truth of which pixels belong to whom."""
    artist = _Artist(made, size, device)
    canvas = artist.backgrounds()
    first = artist.actors(canvas, 0)
    second = artist.actors(canvas, 1)
    return Drawn(canvas, torch.stack([first * (1 - second), second], dim=1))


def render(
    scenes: Sequence[Scene],
    num_frames: int = NUM_FRAMES,
    size: int = SIZE,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw scenes as clips. Shape: (B, T, H, W, 3), values in 0..1."""
    return draw(plan(scenes, num_frames), size, device).frames
