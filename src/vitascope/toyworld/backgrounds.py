"""The places of the toy world: soft gradients with a few large details."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vitascope.toyworld.shapes import box, circle, ellipse, polygon

Painter = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(x, y, variety (b, 6, 1, 1, 1), pixel size) -> colours (b, T, H, W, 3)."""


def _rgb(like: Tensor, colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour, device=like.device, dtype=like.dtype)


def _gradient(y: Tensor, *stops: tuple[float, tuple[float, float, float]]) -> Tensor:
    """Vertical colour ramp through (y, colour) stops, top to bottom."""
    (y0, first), *rest = stops
    colours = _rgb(y, first).expand(*y.shape, 3)
    before = first
    for y1, after in rest:
        share = ((y - y0) / (y1 - y0)).clamp(0, 1)
        colours = colours + share[..., None] * (_rgb(y, after) - _rgb(y, before))
        y0, before = y1, after
    return colours


def _paint(
    canvas: Tensor, distance: Tensor, colour: Tensor | tuple[float, float, float], pixel: float
) -> Tensor:
    if isinstance(colour, tuple):
        colour = _rgb(canvas, colour)
    return torch.lerp(canvas, colour.expand_as(canvas), (0.5 - distance / pixel).clamp(0, 1)[..., None])


def _hill(x: Tensor, y: Tensor, level: Tensor | float, height: float, waves: float, phase: Tensor) -> Tensor:
    """Negative below a wavy horizon."""
    return (level + height * torch.sin(waves * x + 6.283 * phase)) - y


def _cloud(x: Tensor, y: Tensor, at_x: Tensor | float, at_y: float, size: float) -> Tensor:
    px, py = (x - at_x) / size, (y - at_y) / size
    lobes = torch.minimum(ellipse(px, py - 0.1, 1.0, 0.36), circle(px + 0.25, py + 0.12, 0.42))
    return torch.minimum(lobes, circle(px - 0.38, py + 0.02, 0.34)) * size


def _plain(colour: tuple[float, float, float]) -> Painter:
    dark = (colour[0] * 0.93, colour[1] * 0.93, colour[2] * 0.93)

    def paint(x: Tensor, y: Tensor, _v: Tensor, _pixel: float) -> Tensor:
        return _gradient(y + 0 * x, (-1.0, colour), (1.2, dark))

    return paint


def _meadow(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    sky = _gradient(y + 0 * x, (-1.0, (0.36, 0.66, 0.98)), (0.2, (0.82, 0.93, 1.0)))
    sky = _paint(sky, _cloud(x, y, 1.3 * v[:, 0] - 0.9, -0.72, 0.30), (1.0, 1.0, 1.0), pixel)
    grass = _gradient(y + 0 * x, (0.1, (0.53, 0.83, 0.33)), (1.0, (0.28, 0.63, 0.20)))
    far = _hill(x, y, 0.12, 0.07, 3.0, v[:, 1])
    canvas = _paint(sky, far, (0.44, 0.75, 0.36), pixel)
    return _paint(canvas, _hill(x, y, 0.26, 0.05, 2.2, v[:, 2]), grass, pixel)


def _desert(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    sky = _gradient(y + 0 * x, (-1.0, (0.45, 0.74, 0.94)), (0.2, (0.98, 0.93, 0.80)))
    sky = _paint(sky, _hill(x, y, 0.12, 0.10, 2.6, v[:, 0]), (0.95, 0.80, 0.55), pixel)
    sand = _gradient(y + 0 * x, (0.2, (0.93, 0.75, 0.47)), (1.0, (0.82, 0.60, 0.34)))
    return _paint(sky, _hill(x, y, 0.32, 0.07, 2.0, v[:, 1]), sand, pixel)


def _stars(canvas: Tensor, x: Tensor, y: Tensor, v: Tensor, pixel: float, count: int) -> Tensor:
    nearest = torch.full_like(y + 0 * x, 9.0)
    for i in range(count):
        at_x = 2.6 * torch.frac(v[:, 0] + 0.618034 * i) - 1.3
        at_y = 1.5 * math.modf(0.7548777 * (i + 1))[0] - 1.05
        nearest = torch.minimum(nearest, circle(x - at_x, y - at_y, 0.020))
    return _paint(canvas, nearest, (0.95, 0.95, 0.85), pixel)


def _night(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    sky = _gradient(y + 0 * x, (-1.0, (0.03, 0.04, 0.20)), (0.6, (0.13, 0.17, 0.42)))
    sky = _stars(sky, x, y, v, pixel, 11)
    return _paint(sky, _hill(x, y, 0.62, 0.07, 2.5, v[:, 1]), (0.03, 0.13, 0.12), pixel)


def _space(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    sky = _gradient(y + 0 * x, (-1.0, (0.01, 0.01, 0.03)), (1.0, (0.07, 0.03, 0.12)))
    sky = _stars(sky, x, y, v, pixel, 15)
    planet = circle(x - 0.78 - 0.1 * v[:, 1], y - 0.80, 0.34)
    return _paint(sky, planet, (0.42, 0.36, 0.50), pixel)


def _city(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(y + 0 * x, (-1.0, (0.55, 0.74, 0.90)), (0.4, (0.88, 0.92, 0.95)))
    shift = 0.12 * (v[:, 0] - 0.5)
    tops = (-0.30, -0.62, -0.12, -0.48, -0.70, -0.22, -0.55, -0.36, -0.66)
    greys = ((0.55, 0.58, 0.66), (0.46, 0.50, 0.58), (0.62, 0.63, 0.70))
    for i, top in enumerate(tops):
        left = -1.6 + 0.36 * i + shift
        block = box(x - left - 0.17, y - (top + 1.2), 0.17, 1.2)
        canvas = _paint(canvas, block, greys[i % 3], pixel)
        windows = box(
            torch.remainder(x - left, 0.17) - 0.085, torch.remainder(y - top, 0.2) - 0.11, 0.03, 0.05
        )
        canvas = _paint(canvas, torch.maximum(windows, block + 0.02), (0.93, 0.88, 0.66), pixel)
    road = _gradient(y + 0 * x, (0.5, (0.38, 0.39, 0.42)), (1.0, (0.28, 0.29, 0.32)))
    canvas = _paint(canvas, 0.48 - y + 0 * x, road, pixel)
    dashes = box(torch.remainder(x + shift, 0.5) - 0.25, y - 0.76, 0.13, 0.022)
    return _paint(canvas, dashes, (0.85, 0.85, 0.80), pixel)


def _mountains(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(y + 0 * x, (-1.0, (0.50, 0.75, 0.97)), (0.3, (0.90, 0.95, 1.0)))
    shift = 0.3 * (v[:, 0] - 0.5)
    for at, top, width in ((-0.95, -0.35, 0.75), (0.95, -0.45, 0.8), (0.05, -0.72, 0.85)):
        px = x - at - shift
        peak = polygon(px, y, [(0, top), (width, 0.5), (-width, 0.5)])
        canvas = _paint(canvas, peak, (0.45, 0.48, 0.58), pixel)
        cap = torch.maximum(peak, y - (top + 0.30) + 0.06 * torch.sin(14 * px))
        canvas = _paint(canvas, cap, (0.97, 0.98, 1.0), pixel)
    grass = _gradient(y + 0 * x, (0.3, (0.40, 0.62, 0.34)), (1.0, (0.25, 0.46, 0.24)))
    return _paint(canvas, _hill(x, y, 0.42, 0.04, 2.4, v[:, 1]), grass, pixel)


def _sea(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    sky = _gradient(y + 0 * x, (-1.0, (0.48, 0.77, 0.98)), (0.0, (0.90, 0.96, 1.0)))
    sky = _paint(sky, _cloud(x, y, 1.3 * v[:, 0] - 0.7, -0.68, 0.28), (1.0, 1.0, 1.0), pixel)
    water = _gradient(y + 0 * x, (0.0, (0.16, 0.55, 0.82)), (1.0, (0.03, 0.28, 0.60)))
    canvas = _paint(sky, 0.08 - y + 0 * x, water, pixel)
    for i, level in enumerate((0.36, 0.66, 0.90)):
        crest = (y - level - 0.025 * torch.sin(7 * x + 6.283 * v[:, 1 + i])).abs() - 0.016
        canvas = _paint(canvas, crest, (0.36, 0.68, 0.90), pixel)
    return canvas


def _underwater(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(y + 0 * x, (-1.0, (0.16, 0.62, 0.80)), (1.0, (0.02, 0.22, 0.45)))
    for i, at in enumerate((-0.6, 0.05, 0.65)):
        beam = (x - at - 0.2 * v[:, i] + 0.25 * y).abs() - 0.09 - 0.05 * y
        soft = (0.5 - beam / 0.12).clamp(0, 1) * (0.14 * (0.6 - y)).clamp(0, 1)
        canvas = canvas + soft[..., None]
    sand = _gradient(y + 0 * x, (0.7, (0.70, 0.66, 0.46)), (1.0, (0.52, 0.50, 0.38)))
    return _paint(canvas, _hill(x, y, 0.80, 0.04, 4.0, v[:, 3]), sand, pixel).clamp(0, 1)


def _snow(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(y + 0 * x, (-1.0, (0.62, 0.70, 0.80)), (0.2, (0.84, 0.88, 0.93)))
    canvas = _paint(canvas, _hill(x, y, 0.10, 0.08, 2.7, v[:, 0]), (0.83, 0.89, 0.96), pixel)
    ground = _gradient(y + 0 * x, (0.3, (0.96, 0.98, 1.0)), (1.0, (0.86, 0.91, 0.97)))
    canvas = _paint(canvas, _hill(x, y, 0.34, 0.06, 2.0, v[:, 1]), ground, pixel)
    flakes = torch.full_like(y + 0 * x, 9.0)
    for i in range(10):
        at_x = 2.4 * torch.frac(v[:, 2] + 0.618034 * i) - 1.2
        flakes = torch.minimum(
            flakes, circle(x - at_x, y - (1.3 * math.modf(0.7548777 * (i + 1))[0] - 1.0), 0.028)
        )
    return _paint(canvas, flakes, (0.99, 0.99, 1.0), pixel)


def _room(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(y + 0 * x, (-1.0, (0.93, 0.85, 0.70)), (0.5, (0.87, 0.78, 0.62)))
    px = x + 0.72 - 0.2 * v[:, 0]
    canvas = _paint(canvas, box(px, y + 0.45, 0.25, 0.32), (0.98, 0.96, 0.92), pixel)
    canvas = _paint(
        canvas, torch.maximum(box(px, y + 0.45, 0.20, 0.27), 0.02 - px.abs()), (0.62, 0.82, 0.95), pixel
    )
    floor = _gradient(y + 0 * x, (0.5, (0.62, 0.42, 0.26)), (1.0, (0.50, 0.32, 0.19)))
    canvas = _paint(canvas, 0.48 - y + 0 * x, floor, pixel)
    return _paint(canvas, (y - 0.50 + 0 * x).abs() - 0.03, (0.97, 0.94, 0.88), pixel)


def _sunset(x: Tensor, y: Tensor, v: Tensor, pixel: float) -> Tensor:
    canvas = _gradient(
        y + 0 * x, (-1.0, (0.30, 0.16, 0.45)), (-0.3, (0.80, 0.33, 0.45)), (0.3, (1.0, 0.65, 0.32))
    )
    canvas = _paint(canvas, circle(x - 0.9 * (v[:, 0] - 0.5), y - 0.26, 0.24), (1.0, 0.90, 0.55), pixel)
    water = _gradient(y + 0 * x, (0.3, (0.52, 0.24, 0.38)), (1.0, (0.18, 0.09, 0.26)))
    return _paint(canvas, 0.32 - y + 0 * x, water, pixel)


PAINTERS: dict[str, Painter] = {
    "white": _plain((0.97, 0.97, 0.96)),
    "grey": _plain((0.60, 0.60, 0.61)),
    "blue": _plain((0.56, 0.72, 0.96)),
    "pink": _plain((1.00, 0.78, 0.84)),
    "meadow": _meadow,
    "desert": _desert,
    "night": _night,
    "space": _space,
    "city": _city,
    "mountains": _mountains,
    "sea": _sea,
    "underwater": _underwater,
    "snow": _snow,
    "room": _room,
    "sunset": _sunset,
}
