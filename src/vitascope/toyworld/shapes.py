"""Signed distances to simple shapes, and the layers that each kind of object is drawn from.

Source: the distance formulas follow Inigo Quilez, "2D distance functions"
(iquilezles.org/articles/distfunctions2d), rewritten for batched tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Layer(NamedTuple):
    """One flat part of a drawing: where it is (negative inside) and its colour.

    `shaded` parts get the soft dark rim that makes objects stand out.
    """

    distance: Tensor
    colour: Tensor
    shaded: bool = False


def circle(x: Tensor, y: Tensor, radius: float | Tensor = 1.0) -> Tensor:
    """Distance to a disc around the origin."""
    return torch.hypot(x, y) - radius


def box(x: Tensor, y: Tensor, half_width: float, half_height: float, rounding: float = 0.0) -> Tensor:
    """Distance to a rectangle around the origin, its corners rounded."""
    dx, dy = x.abs() - (half_width - rounding), y.abs() - (half_height - rounding)
    outside = torch.hypot(dx.clamp_min(0), dy.clamp_min(0))
    return outside + torch.maximum(dx, dy).clamp_max(0) - rounding


def ellipse(x: Tensor, y: Tensor, half_width: float, half_height: float) -> Tensor:
    """Approximate distance, exact on the edge."""
    k0 = torch.hypot(x / half_width, y / half_height)
    k1 = torch.hypot(x / half_width**2, y / half_height**2)
    return k0 * (k0 - 1) / k1.clamp_min(1e-4)


def segment(x: Tensor, y: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> Tensor:
    """Distance to a line from start to end; subtract a radius for a capsule."""
    px, py = x - start[0], y - start[1]
    bx, by = end[0] - start[0], end[1] - start[1]
    h = ((px * bx + py * by) / (bx * bx + by * by).clamp_min(1e-8)).clamp(0, 1)
    return torch.hypot(px - bx * h, py - by * h)


def polygon(x: Tensor, y: Tensor, corners: Sequence[tuple[float, float]]) -> Tensor:
    """Distance to any simple polygon."""
    squared = torch.full_like(x, 1e9)
    inside = torch.zeros_like(x, dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        ex, ey = x1 - x0, y1 - y0
        wx, wy = x - x0, y - y0
        h = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        squared = torch.minimum(squared, (wx - ex * h) ** 2 + (wy - ey * h) ** 2)
        if ey:
            crosses = (wy >= 0) != (y >= y1)
            inside = inside ^ (crosses & (wx < ex / ey * wy))
    return torch.where(inside, -squared.sqrt(), squared.sqrt())


def _star_corners() -> list[tuple[float, float]]:
    corners = []
    for i in range(10):
        r = 1.08 if i % 2 == 0 else 0.47
        corners.append((r * math.sin(math.pi * i / 5), -r * math.cos(math.pi * i / 5)))
    return corners


def heart(x: Tensor, y: Tensor) -> Tensor:
    """A heart of height about 2 around the origin."""
    px, py = x.abs() / 1.72, (0.92 - y) / 1.72
    lobe = torch.hypot(px - 0.25, py - 0.75) - math.sqrt(2) / 4
    m = 0.5 * (px + py).clamp_min(0)
    point = torch.minimum(px**2 + (py - 1) ** 2, (px - m) ** 2 + (py - m) ** 2).sqrt() * (px - py).sign()
    return 1.72 * torch.where(px + py > 1, lobe, point)


def _tone(like: Tensor, *rgb: float) -> Tensor:
    return torch.tensor(rgb, device=like.device, dtype=like.dtype)


def _mix(colour: Tensor, other: Tensor, share: float) -> Tensor:
    return colour + share * (other - colour)


def _ball(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    shine = _mix(c, _tone(x, 1, 1, 1), 0.55)
    return [Layer(circle(x, y), c, True), Layer(ellipse(x + 0.36, y + 0.42, 0.24, 0.17), shine)]


def _square(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(box(x, y, 0.86, 0.86, 0.08), c, True)]


def _triangle(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(polygon(x, y, [(0, -0.98), (1.02, 0.78), (-1.02, 0.78)]) - 0.03, c, True)]


def _star(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(polygon(x, y, _star_corners()) - 0.03, c, True)]


def _heart(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(heart(x, y), c, True)]


def _ring(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer((torch.hypot(x, y) - 0.74).abs() - 0.27, c, True)]


def _diamond(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(polygon(x, y, [(0, -1.1), (0.68, 0), (0, 1.1), (-0.68, 0)]), c, True)]


def _moon(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    return [Layer(torch.maximum(circle(x, y), 0.80 - torch.hypot(x - 0.52, y + 0.06)), c, True)]


def _car(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    glass, tyre = _tone(x, 0.75, 0.90, 1.0), _tone(x, 0.13, 0.13, 0.15)
    cabin = polygon(x, y, [(-0.72, 0.0), (-0.46, -0.58), (0.30, -0.58), (0.62, 0.0)]) - 0.05
    body = torch.minimum(box(x, y - 0.16, 1.14, 0.32, 0.14), cabin)
    window = polygon(x, y, [(-0.52, -0.04), (-0.36, -0.44), (0.22, -0.44), (0.42, -0.04)])
    wheels = torch.minimum(circle(x + 0.6, y - 0.5, 0.27), circle(x - 0.6, y - 0.5, 0.27))
    hubs = torch.minimum(circle(x + 0.6, y - 0.5, 0.11), circle(x - 0.6, y - 0.5, 0.11))
    return [
        Layer(body, c, True),
        Layer(window, glass),
        Layer(wheels, tyre),
        Layer(hubs, _tone(x, 0.8, 0.8, 0.8)),
    ]


def _boat(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    hull = polygon(x, y, [(-1.08, 0.30), (1.12, 0.30), (0.68, 0.86), (-0.72, 0.86)]) - 0.02
    mast = box(x + 0.02, y + 0.35, 0.05, 0.72)
    sails = torch.minimum(
        polygon(x, y, [(0.08, -0.98), (0.08, 0.14), (0.88, 0.14)]),
        polygon(x, y, [(-0.10, -0.72), (-0.10, 0.14), (-0.70, 0.14)]),
    )
    return [
        Layer(mast, _tone(x, 0.45, 0.28, 0.15)),
        Layer(hull, c, True),
        Layer(sails, _mix(c, _tone(x, 1, 1, 1), 0.18), True),
    ]


def _rocket(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    half = 0.42 * (1 - ((-y - 0.15).clamp_min(0) / 0.98) ** 2).clamp_min(0)
    body = torch.maximum(torch.maximum(x.abs() - half, y - 0.62), -1.06 - y) * 0.9
    fins = polygon(x.abs(), y, [(0.30, 0.10), (0.82, 0.66), (0.82, 0.88), (0.28, 0.62)])
    flame = polygon(x.abs(), y, [(0.0, 0.55), (0.26, 0.60), (0.0, 1.12)])
    window = circle(x, y + 0.25, 0.19)
    return [
        Layer(flame, _tone(x, 1.0, 0.6, 0.1)),
        Layer(fins, c * 0.62),
        Layer(body, c, True),
        Layer(window, _tone(x, 0.75, 0.90, 1.0)),
    ]


def _fish(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    tail = polygon(x, y, [(-0.55, 0.0), (-1.12, -0.56), (-0.98, 0.0), (-1.12, 0.56)]) - 0.02
    fin = polygon(x, y, [(0.12, -0.40), (-0.30, -0.82), (-0.42, -0.36)])
    eye = torch.hypot(x - 0.58, y + 0.14)
    return [
        Layer(torch.minimum(tail, fin), c * 0.78),
        Layer(ellipse(x - 0.14, y, 0.90, 0.56), c, True),
        Layer(eye - 0.14, _tone(x, 1, 1, 1)),
        Layer(eye - 0.07, _tone(x, 0.05, 0.05, 0.08)),
    ]


def _cat(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    side = x.abs()
    ears = polygon(side, y, [(0.14, -0.56), (0.82, -1.10), (0.94, -0.05)]) - 0.02
    head = torch.minimum(ellipse(x, y - 0.16, 0.98, 0.80), ears)
    inner = polygon(side, y, [(0.44, -0.58), (0.74, -0.84), (0.80, -0.36)])
    eyes = torch.hypot(side - 0.40, y - 0.02)
    nose = polygon(x, y, [(-0.13, 0.30), (0.13, 0.30), (0.0, 0.46)])
    dark = _tone(x, 0.07, 0.07, 0.09)
    return [
        Layer(head, c, True),
        Layer(inner, _mix(c, _tone(x, 1.0, 0.75, 0.75), 0.5)),
        Layer(eyes - 0.19, _tone(x, 1, 1, 1)),
        Layer(eyes - 0.10, dark),
        Layer(nose, _tone(x, 1.0, 0.5, 0.55)),
    ]


def _house(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    walls = box(x, y - 0.36, 0.78, 0.58, 0.02)
    roof = polygon(x, y, [(0, -1.02), (1.06, -0.14), (-1.06, -0.14)]) - 0.02
    window = box(x - 0.36, y - 0.22, 0.19, 0.19)
    door = box(x + 0.32, y - 0.56, 0.19, 0.38)
    return [
        Layer(walls, c, True),
        Layer(roof, c * 0.68),
        Layer(window, _tone(x, 0.80, 0.93, 1.0)),
        Layer(door, _tone(x, 0.36, 0.22, 0.13)),
    ]


def _tree(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    crown = torch.minimum(
        circle(x, y + 0.52, 0.56),
        torch.minimum(circle(x + 0.44, y + 0.02, 0.50), circle(x - 0.44, y + 0.02, 0.50)),
    )
    return [Layer(box(x, y - 0.62, 0.16, 0.48), _tone(x, 0.45, 0.28, 0.15)), Layer(crown, c, True)]


def _flower(x: Tensor, y: Tensor, c: Tensor) -> list[Layer]:
    green = _tone(x, 0.10, 0.50, 0.15)
    stem = box(x, y - 0.66, 0.06, 0.46)
    leaf = ellipse(x - 0.26, y - 0.74, 0.24, 0.11)
    top = y + 0.34
    angle = torch.atan2(top, x)
    spread = (2 * math.pi) / 6
    folded = torch.remainder(angle, spread) - spread / 2
    r = torch.hypot(x, top)
    petals = ellipse(r * folded.cos() - 0.46, r * folded.sin(), 0.36, 0.25)
    return [
        Layer(torch.minimum(stem, leaf), green),
        Layer(petals, c, True),
        Layer(r - 0.22, _tone(x, 1.0, 0.80, 0.15)),
    ]


DRAWINGS: dict[str, Callable[[Tensor, Tensor, Tensor], list[Layer]]] = {
    "ball": _ball,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "diamond": _diamond,
    "moon": _moon,
    "car": _car,
    "boat": _boat,
    "rocket": _rocket,
    "fish": _fish,
    "cat": _cat,
    "house": _house,
    "tree": _tree,
    "flower": _flower,
}
"""How each kind is drawn, bottom layer first, in a frame where the object has radius 1 and faces right."""
