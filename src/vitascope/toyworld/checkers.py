"""Read a clip of the toy world back: what is in it, what colour, which way it moves, and where.

No learned weights: the place is recognised by its colours, the object is whatever has colours that
the place does not have, its kind is the nearest of many drawn silhouettes, and its motion is the
path of its centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.renderer import draw, plan
from vitascope.toyworld.scenes import (
    ACTIONS,
    BACKGROUNDS,
    BUILDS,
    COLOURS,
    DIRECTIONS,
    KINDS,
    PEOPLE,
    Actor,
    Scene,
    colours_on,
)

_SIDE = 24
"""Side of a normalised silhouette in pixels."""

_BINS = 16
"""Steps of each colour channel in a place's palette."""

_RING = 8
"""Cells of a picture's side when a place is recognised."""


@dataclass(frozen=True)
class Reading:
    """What was seen in a clip; None where nothing was seen.

    Shape: `centres` (T, 2) as x, y in -1..1 (NaN where nothing was seen), `areas` (T,) as a share of the frame.
    """

    background: str
    kind: str | None
    colour: str | None
    direction: str | None
    centres: NDArray[np.float32]
    areas: NDArray[np.float32]


class Reader:
    """Reads clips of one size. Its templates are drawn from scenes that only it uses."""

    def __init__(self, size: int = 128, seed: int = 90210) -> None:
        self.size = size
        self.seed = seed

    def _random(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.random.default_rng(self.seed).random(shape)

    @cached_property
    def _places(self) -> Tensor:
        """Empty pictures of every place. Shape: (places, variants, H, W, 3)."""
        drawn = []
        for name in BACKGROUNDS:
            variants = [Scene(name, (), variety=tuple(v)) for v in self._random((12, 6))]
            drawn.append(draw(plan(variants, 1), self.size).frames[:, 0])
        return torch.stack(drawn)

    @cached_property
    def _cells(self) -> Tensor:
        """Coarse pictures of the places. Shape: (places, variants, 3, cells, cells)."""
        flat = self._places.flatten(0, 1).permute(0, 3, 1, 2)
        return F.adaptive_avg_pool2d(flat, _RING).unflatten(0, self._places.shape[:2])

    @cached_property
    def _palettes(self) -> Tensor:
        """Which colours a place has, with a tolerance of one step. Shape: (places, bins, bins, bins)."""
        palettes = torch.zeros(len(BACKGROUNDS), _BINS, _BINS, _BINS)
        for i, pictures in enumerate(self._places):
            r, g, b = (pictures.reshape(-1, 3) * (_BINS - 1e-3)).long().unbind(1)
            palettes[i, r, g, b] = 1
        return F.max_pool3d(palettes[:, None], 3, 1, 1)[:, 0]

    @cached_property
    def _silhouettes(self) -> tuple[Tensor, NDArray[np.str_]]:
        """Normalised outlines of every kind, turned and posed. Shape: (outlines, side * side), (outlines,)."""
        outlines, names = [], []
        for kind in KINDS:
            spins = [Scene("white", (Actor(kind, "black", "spin", phase=p),)) for p in (0.1, 0.9)]
            sways = [Scene("white", (Actor(kind, "black", "sway", phase=p),)) for p in (0.1, 0.9)]
            cover = draw(plan(spins + sways, 13), self.size).cover[:, 0].flatten(0, 1)
            outlines += [normalised(c) for c in cover]
            names += [kind] * len(cover)
        people = [
            Scene("grey", (Actor("person", "black", action, who=who, build=build, phase=0.3),))
            for action in ACTIONS
            for build in BUILDS
            for who in (PEOPLE[0], PEOPLE[3])
        ]
        cover = draw(plan(people, 5), self.size).cover[:, 0].flatten(0, 1)
        outlines += [normalised(c) for c in cover]
        names += ["person"] * len(cover)
        return torch.stack(outlines).flatten(1), np.array(names)

    def background(self, clip: Tensor) -> str:
        """The place whose coarse picture is nearest, judged where nothing moves. Shape: (T, H, W, 3) in 0..1."""
        still = clip.median(dim=0).values
        cells = F.adaptive_avg_pool2d(still.permute(2, 0, 1)[None], _RING)[0]
        distance = (self._cells - cells).abs().mean(2)
        nearest = distance.flatten(2).quantile(0.4, dim=2).amin(1)
        mean = distance.flatten(2).mean(2).amin(1)
        return BACKGROUNDS[int((nearest + 0.3 * mean).argmin())]

    def foreground(self, clip: Tensor, background: str) -> Tensor:
        """Where there are colours that the place does not have. Shape: (T, H, W, 3) -> (T, H, W) of 0 or 1."""
        place = BACKGROUNDS.index(background)
        r, g, b = (clip.reshape(-1, 3) * (_BINS - 1e-3)).long().clamp(0, _BINS - 1).unbind(1)
        strange = (1 - self._palettes[place, r, g, b]).view(clip.shape[:3])
        nearest = (self._places[place][:, None] - clip[None]).abs().amax(-1).amin(0)
        mask = (strange > 0.5) | (nearest > 0.16)
        solid = -F.max_pool2d(-mask[:, None].float(), 3, 1, 1)
        return F.max_pool2d(solid, 3, 1, 1)[:, 0]

    def colour(self, clip: Tensor, mask: Tensor, background: str) -> str | None:
        """The named colour that most of the object has."""
        inner = -F.max_pool2d(-mask[:, None], 5, 1, 2)[:, 0]
        pixels = clip[inner > 0.5]
        if len(pixels) < 30:
            pixels = clip[mask > 0.5]
        if len(pixels) < 10:
            return None
        names = list(COLOURS)
        votes = torch.bincount(
            (hue_space(pixels)[:, None] - named_hues()[None]).square().sum(-1).argmin(1), minlength=len(names)
        )
        allowed = torch.tensor([n in colours_on(background) for n in names])
        return names[int((votes * allowed).argmax())]

    def kind(self, mask: Tensor) -> str | None:
        """The kind whose outlines fit best over the clip."""
        areas = mask.sum(dim=(1, 2))
        whole = [m for m, a in zip(mask, areas, strict=True) if a > 0.005 * m.numel() and not _cut(m)]
        whole = whole or [m for m, a in zip(mask, areas, strict=True) if a > 0.005 * m.numel()]
        if not whole:
            return None
        outlines, names = self._silhouettes
        seen = torch.stack([normalised(m) for m in whole]).flatten(1)
        both = seen @ outlines.T
        overlap = both / (seen.sum(1)[:, None] + outlines.sum(1)[None] - both)
        kinds = [*KINDS, "person"]
        best = torch.stack([overlap[:, torch.from_numpy(names == k)].amax(1) for k in kinds], dim=1)
        return kinds[int(best.mean(0).argmax())]

    def read(self, clip: Tensor | NDArray[np.uint8]) -> Reading:
        """Everything that can be seen in a clip with one actor. Shape: (T, H, W, 3), bytes or 0..1."""
        frames = torch.as_tensor(clip)
        frames = frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()
        background = self.background(frames)
        mask = largest_part(self.foreground(frames, background))
        centres, areas = track(mask)
        return Reading(
            background,
            self.kind(mask),
            self.colour(frames, mask, background),
            travelled(centres),
            centres,
            areas,
        )


def hue_space(rgb: Tensor) -> Tensor:
    """Colours so that shading matters less than hue. Shape: (N, 3) -> (N, 4)."""
    light = rgb.amax(1, keepdim=True)
    chroma = rgb - rgb.mean(1, keepdim=True)
    size = chroma.norm(dim=1, keepdim=True)
    return torch.cat(
        [1.2 * chroma / light.clamp_min(0.25), 0.8 * size, 0.55 * rgb.mean(1, keepdim=True)], dim=1
    )


@cache
def named_hues() -> Tensor:
    """The colours that captions name, in their order. Shape: (K, 4)."""
    return hue_space(torch.tensor(list(COLOURS.values())))


def _cut(mask: Tensor) -> bool:
    """Whether an object touches the edge of the frame."""
    edge = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(edge.sum() > 3)


def normalised(mask: Tensor) -> Tensor:
    """An outline scaled to fill a small square, its proportions kept. Shape: (H, W) -> (side, side)."""
    rows, columns = (mask > 0.5).any(1).nonzero(), (mask > 0.5).any(0).nonzero()
    if not len(rows):
        return torch.zeros(_SIDE, _SIDE)
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    pad_y, pad_x = side - (bottom - top), side - (right - left)
    piece = F.pad(
        mask[top:bottom, left:right], (pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2)
    )
    return F.interpolate(piece[None, None].float(), (_SIDE, _SIDE), mode="area")[0, 0]


def largest_part(mask: Tensor) -> Tensor:
    """Only the largest connected part of every frame. Shape: (T, H, W)."""
    import cv2

    kept = torch.zeros_like(mask)
    for i, frame in enumerate(mask):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(frame.to(torch.uint8).numpy())
        if count > 1:
            kept[i] = torch.from_numpy(parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
    return kept


def track(mask: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre (x, y in -1..1) and area of what is seen in every frame. Shape: (T, H, W) -> (T, 2), (T,)."""
    size = mask.shape[-1]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    areas = mask.sum(dim=(1, 2))
    x = (mask.sum(1) * line).sum(1) / areas.clamp_min(1)
    y = (mask.sum(2) * line).sum(1) / areas.clamp_min(1)
    centres = torch.stack([x, y], dim=1)
    centres[areas < 0.004 * size * size] = float("nan")
    return centres.numpy().astype(np.float32), (areas / (size * size)).numpy().astype(np.float32)


def travelled(centres: NDArray[np.float32]) -> str | None:
    """The nearest of the eight directions, if the centre travels straight for at least a quarter of the frame."""
    seen = np.flatnonzero(~np.isnan(centres[:, 0]))
    if len(seen) < 5:
        return None
    path = centres[seen]
    quarter = max(1, len(seen) // 4)
    dx, dy = path[-quarter:].mean(0) - path[:quarter].mean(0)
    travelled = math.hypot(dx, dy)
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    if travelled < 0.35 or travelled < 0.45 * length:
        return None
    turn = round(math.atan2(dy, dx) / (math.pi / 4)) % 8
    ways = {way: round(math.atan2(y, x) / (math.pi / 4)) % 8 for way, (x, y) in DIRECTIONS.items()}
    return next(way for way, t in ways.items() if t == turn)


@cache
def standard_reader() -> Reader:
    """The reader that measures; nothing that trains or chooses a model may use it."""
    return Reader()


def check(clip: Tensor | NDArray[np.uint8], scene: Scene, reader: Reader | None = None) -> dict[str, bool]:
    """Which attributes of a scene with one actor a clip shows.

    `motion` is only judged for straight motions (of people: walking and running).
    """
    seen = (reader or standard_reader()).read(clip)
    actor = scene.actors[0]
    verdicts = {
        "background": seen.background == scene.background,
        "kind": seen.kind == actor.kind,
        "colour": seen.colour == actor.colour,
    }
    way = actor.motion
    if actor.kind == "person":  # of whose actions those that lead somewhere: arms_up does not
        way = way.partition("_")[2] if way.startswith(("walk", "run")) else ""
    if way in DIRECTIONS:
        verdicts["motion"] = seen.direction == way
    return verdicts
