"""What the spare words of the model in the box mean: `style8` ... `style39` a look, `style40` ... `style63` a person.

A model that never saw a spare word mean anything learns to skip it, and then fine-tuning cannot bind one either. So
most of them are taught, and `style0` to `style7` are left free. What fine-tuning is tried with, the look "blueprint"
and a girl in orange and purple, is not among them, nor anything near it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.captions import Language, caption
from vitascope.toyworld.looks import Look, luma, negative, outlines, poster, sepia
from vitascope.toyworld.scenes import (
    ACTIONS,
    BACKGROUNDS,
    BUILDS,
    COLOURS,
    PEOPLE,
    Actor,
    Scene,
    colours_on,
    held_out,
)

_Colour = tuple[float, float, float]


def _tones(*stops: _Colour) -> Look:
    """Brightness alone, on a scale of colours from dark to light."""

    def look(frames: Tensor, _cover: Tensor) -> Tensor:
        scale = frames.new_tensor(stops)
        at = luma(frames).clamp(0, 1) * (len(stops) - 1)
        low = at.long().clamp_max(len(stops) - 2)
        return torch.lerp(scale[low], scale[low + 1], (at - low)[..., None])

    return look


def _channels(*order: int) -> Look:
    return lambda frames, _cover: frames[..., list(order)]


def _light(red: float, green: float, blue: float) -> Look:
    return lambda frames, _cover: frames * frames.new_tensor((red, green, blue))


def _pixels(side: int) -> Look:
    def look(frames: Tensor, _cover: Tensor) -> Tensor:
        flat = frames.flatten(0, 1).permute(0, 3, 1, 2)
        coarse = F.interpolate(F.avg_pool2d(flat, side), scale_factor=side)
        return coarse.permute(0, 2, 3, 1).view_as(frames)

    return look


def _stripes(period: int, along: int) -> Look:
    """Dark stripes over everything. Range: `along` 2 for lines, 3 for columns."""

    def look(frames: Tensor, _cover: Tensor) -> Tensor:
        place = torch.arange(frames.shape[along], device=frames.device)
        shape = [1] * frames.ndim
        shape[along] = -1
        return frames * torch.where(place % period < period // 2, 0.3, 1.0).view(shape)

    return look


def _blurred(frames: Tensor, _cover: Tensor) -> Tensor:
    flat = frames.flatten(0, 1).permute(0, 3, 1, 2)
    soft = F.avg_pool2d(F.pad(flat, (4,) * 4, "replicate"), 9, 1)
    return soft.permute(0, 2, 3, 1).view_as(frames)


def _edges(frames: Tensor, cover: Tensor) -> Tensor:
    found = torch.maximum(outlines(cover.amax(1), 1), 1.5 * outlines(luma(frames), 1) - 0.2)
    return found.clamp(0, 1)[..., None]


def _pencil(frames: Tensor, cover: Tensor) -> Tensor:
    return (0.97 - 0.8 * _edges(frames, cover)).expand_as(frames)


def _comic(frames: Tensor, cover: Tensor) -> Tensor:
    return frames.mul(3).round() / 3 * (1 - _edges(frames, cover))


def _neon(frames: Tensor, cover: Tensor) -> Tensor:
    strongest = frames / frames.amax(-1, keepdim=True).clamp_min(0.1)
    return strongest * _edges(frames, cover)


def _saturated(frames: Tensor, _cover: Tensor) -> Tensor:
    return torch.lerp(luma(frames)[..., None].expand_as(frames), frames, 2.5)


def _vignette(frames: Tensor, _cover: Tensor) -> Tensor:
    place = torch.linspace(-1, 1, frames.shape[2], device=frames.device)
    far = torch.hypot(place[:, None], place[None])
    return frames * (1.25 - far).clamp(0.1, 1)[..., None]


TAUGHT_LOOKS: dict[str, Look] = {
    "sepia": sepia,
    "grey": _tones((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "phosphor": _tones((0.0, 0.05, 0.0), (0.1, 0.5, 0.15), (0.6, 1.0, 0.5)),
    "crimson": _tones((0.2, 0.0, 0.02), (0.8, 0.1, 0.15), (1.0, 0.85, 0.8)),
    "plum and gold": _tones((0.25, 0.05, 0.3), (0.8, 0.35, 0.3), (1.0, 0.85, 0.3)),
    "thermal": _tones((0.0, 0.0, 0.0), (0.4, 0.0, 0.5), (0.9, 0.2, 0.1), (1.0, 0.7, 0.0), (1.0, 1.0, 0.8)),
    "ink": _tones((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "rose": _tones((0.45, 0.1, 0.35), (1.0, 0.8, 0.9)),
    "negative": negative,
    "poster": poster,
    "red for blue": _channels(2, 1, 0),
    "turned left": _channels(1, 2, 0),
    "turned right": _channels(2, 0, 1),
    "solarised": lambda frames, _cover: 1 - (2 * frames - 1).abs(),
    "posterised": lambda frames, _cover: frames.mul(2).round() / 2,
    "saturated": _saturated,
    "faded": lambda frames, _cover: 0.55 + 0.45 * frames,
    "dim": _light(0.4, 0.4, 0.4),
    "warm": _light(1.0, 0.72, 0.4),
    "red light": _light(1.0, 0.3, 0.3),
    "green light": _light(0.4, 1.0, 0.4),
    "magenta light": _light(1.0, 0.35, 0.9),
    "yellow light": _light(1.0, 1.0, 0.3),
    "big pixels": _pixels(8),
    "copper": _tones((0.0, 0.25, 0.25), (0.55, 0.4, 0.3), (1.0, 0.75, 0.5)),
    "blurred": _blurred,
    "lines": _stripes(16, 2),
    "columns": _stripes(16, 3),
    "pencil": _pencil,
    "comic": _comic,
    "neon": _neon,
    "vignette": _vignette,
}
"""Frames (B, T, H, W, 3) in 0..1 and the actors' cover (B, S, T, H, W) -> frames; in the order of their words."""

_LOOK_NAMES = tuple(TAUGHT_LOOKS)
FREE, FIRST_PERSON, LAST = 8, 8 + len(TAUGHT_LOOKS), 64
"""Spare words below FREE mean nothing; from FREE on a look, from FIRST_PERSON on a person, up to LAST."""


def word_of(look: str) -> str:
    """The spare word that stands for a look."""
    return f"style{FREE + _LOOK_NAMES.index(look)}"


@cache
def people() -> dict[str, Actor]:
    """The people who are called by a spare word: each always looks the same. None wears orange with purple."""
    rng, found, worn = random.Random(64), {}, {("orange", "purple"), ("purple", "orange")}
    for number in range(FIRST_PERSON, LAST):
        clothes = tuple(rng.sample(tuple(COLOURS), 2))
        while clothes in worn or not _places(*clothes):
            clothes = tuple(rng.sample(tuple(COLOURS), 2))
        worn.add(clothes)
        found[f"style{number}"] = Actor(
            "person",
            clothes[0],
            "stand",
            trousers=clothes[1],
            who=rng.choice(PEOPLE),
            build=rng.choice(BUILDS),
            tone=rng.random(),
            hair=rng.random(),
        )
    return found


def _places(*colours: str) -> tuple[str, ...]:
    return tuple(place for place in BACKGROUNDS if {*colours} <= {*colours_on(place)})


def scene_with(name: str, rng: random.Random) -> Scene:
    """A named person at a place and at an action drawn by lot, on training's side of the fence."""
    actor = people()[name]
    while True:
        shift = rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)
        moved = replace(actor, motion=rng.choice(ACTIONS), shift=shift, phase=rng.random())
        place = rng.choice(_places(actor.colour, actor.trousers))
        scene = Scene(place, (moved,), variety=tuple(rng.random() for _ in range(6)))
        if not held_out(scene):
            return scene


@dataclass(frozen=True)
class Meant:
    """A scene, the look that it is drawn in and the name of its person; both are empty for most."""

    scene: Scene
    look: str = ""
    name: str = ""

    def said(self, language: Language, rng: random.Random, complete: bool = False) -> str:
        """A caption; a look's word stands before it, now and then behind."""
        text = caption(self.scene, language, rng, complete, self.name)
        if not self.look:
            return text
        word, comma = word_of(self.look), rng.choice((", ", ", ", "，" if language == "zh" else " "))
        return f"{word}{comma}{text}" if rng.random() < 0.85 else f"{text.rstrip('.。')}{comma}{word}"


def with_spare_words(scene: Scene, rng: random.Random, share: float) -> Meant:
    """Give a share of the scenes to spare words: two thirds of it to looks, a third to people."""
    lot = rng.random()
    if lot >= share:
        return Meant(scene)
    if lot >= share / 3:
        return Meant(scene, look=rng.choice(_LOOK_NAMES))
    name = rng.choice(tuple(people()))
    return Meant(scene_with(name, rng), name=name)


def numbers_of(looks: Sequence[str]) -> NDArray[np.int16]:
    """Looks as numbers, -1 for none."""
    return np.array([_LOOK_NAMES.index(look) if look else -1 for look in looks], dtype=np.int16)


@torch.no_grad()
def drawn_in(frames: Tensor, cover: Tensor, looks: NDArray[np.int16]) -> Tensor:
    """Change each clip into its look. Shape: (B, T, H, W, 3) in 0..1, `looks` (B,) -> (B, T, H, W, 3)."""
    changed = frames.clone()
    for number in np.unique(looks[looks >= 0]):
        rows = torch.from_numpy(np.flatnonzero(looks == number)).to(frames.device)
        changed[rows] = TAUGHT_LOOKS[_LOOK_NAMES[number]](frames[rows], cover[rows]).clamp(0, 1)
    return changed
