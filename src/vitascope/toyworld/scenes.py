"""What can exist in the toy world, and how a scene is drawn by lot from it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

Split = Literal["train", "held_out"]

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.14),
    "orange": (1.00, 0.52, 0.02),
    "yellow": (1.00, 0.87, 0.05),
    "green": (0.05, 0.60, 0.16),
    "cyan": (0.00, 0.80, 0.78),
    "blue": (0.10, 0.22, 0.92),
    "purple": (0.52, 0.12, 0.76),
    "pink": (1.00, 0.45, 0.72),
    "white": (0.98, 0.98, 0.98),
    "black": (0.08, 0.08, 0.09),
}
"""The named colours of objects and clothes, sRGB in 0..1."""

KINDS = (
    "ball",
    "square",
    "triangle",
    "star",
    "heart",
    "ring",
    "diamond",
    "moon",
    "car",
    "boat",
    "rocket",
    "fish",
    "cat",
    "house",
    "tree",
    "flower",
)
"""Objects; a `person` is the seventeenth kind and has actions instead of motions."""

DIRECTIONS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up_right": (1, -1),
    "up_left": (-1, -1),
    "down_right": (1, 1),
    "down_left": (-1, 1),
}
"""Straight motions and where they lead on the screen (y grows downwards)."""

MOTIONS = (*DIRECTIONS, "bounce", "spin", "grow", "shrink", "circle", "sway", "still")
ACTIONS = (
    "walk_right",
    "walk_left",
    "run_right",
    "run_left",
    "wave",
    "jump",
    "dance",
    "squat",
    "jumping_jacks",
    "arms_up",
    "stand",
)
PEOPLE = ("man", "woman", "boy", "girl", "person")
BUILDS = ("thin", "average", "fat")
SIZES = ("small", "medium", "big")
CAMERAS = ("fixed", "zoom_in", "zoom_out", "pan_right", "pan_left")

CLASHES: dict[str, tuple[str, ...]] = {
    "white": ("white",),
    "grey": (),
    "blue": ("blue", "cyan", "white"),
    "pink": ("pink", "white"),
    "meadow": ("green", "cyan"),
    "desert": ("yellow", "orange", "white"),
    "night": ("black", "blue"),
    "space": ("black",),
    "city": ("black", "white"),
    "mountains": ("white", "green", "cyan"),
    "sea": ("blue", "cyan", "white"),
    "underwater": ("blue", "cyan"),
    "snow": ("white", "cyan"),
    "room": ("white", "orange"),
    "sunset": ("orange", "yellow", "purple", "pink", "red", "black"),
}
"""Every background, with the object colours that could be mistaken for a part of it."""
BACKGROUNDS = tuple(CLASHES)


@dataclass(frozen=True)
class Actor:
    """One thing or person in a scene.

    `shift` moves the whole path and `phase` its start, both small: they give variety that no
    caption mentions. `trousers`, `build` and `who` only mean something for a person.
    Units: `shift` in half frames.
    """

    kind: str
    colour: str
    motion: str
    size: str = "medium"
    place: str = "centre"
    shift: tuple[float, float] = (0.0, 0.0)
    phase: float = 0.0
    who: str = ""
    build: str = "average"
    trousers: str = "black"
    tone: float = 0.3
    hair: float = 0.3


@dataclass(frozen=True)
class Scene:
    """All that a clip shows: rendering it twice gives the same pixels.

    Range: 1 or 2 actors; `variety` are 6 numbers in 0..1 that jitter the background.
    """

    background: str
    actors: tuple[Actor, ...]
    camera: str = "fixed"
    variety: tuple[float, ...] = (0.5,) * 6


@dataclass(frozen=True)
class Mixture:
    """How often each sort of scene is drawn; what is left over are single objects."""

    people: float = 0.25
    pairs: float = 0.08
    moving_camera: float = 0.08


@cache
def _bucket(*words: str) -> int:
    return hashlib.blake2b("/".join(words).encode(), digest_size=4).digest()[0] % 10


def held_out(scene: Scene) -> bool:
    """Whether a scene contains a combination that training never sees.

    A tenth of all (colour, kind, background) and a tenth of all (colour, kind, motion) combinations
    are kept back, chosen by a hash of their names, so that no list has to be kept in step.
    """
    return any(
        _bucket("place", a.colour, a.kind, scene.background) == 0
        or _bucket("motion", a.colour, a.kind, a.motion) == 1
        for a in scene.actors
    )


@cache
def colours_on(background: str) -> tuple[str, ...]:
    """The object colours that stand out from a background."""
    return tuple(c for c in COLOURS if c not in CLASHES[background])


def _object(rng: random.Random, background: str, place: str = "centre") -> Actor:
    motions = MOTIONS if place == "centre" else ("bounce", "spin", "grow", "shrink", "sway", "still")
    straight = place == "centre" and rng.random() < 0.6
    return Actor(
        kind=rng.choice(KINDS),
        colour=rng.choice(colours_on(background)),
        motion=rng.choice(tuple(DIRECTIONS) if straight else motions),
        size=rng.choice(("small", "medium", "medium", "big")) if place == "centre" else "medium",
        place=place,
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)),
        phase=rng.random(),
    )


def _person(rng: random.Random, background: str) -> Actor:
    colours = colours_on(background)
    return Actor(
        kind="person",
        colour=rng.choice(colours),
        motion=rng.choice(ACTIONS),
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)),
        phase=rng.random(),
        who=rng.choice(PEOPLE),
        build=rng.choice(BUILDS),
        trousers=rng.choice(colours),
        tone=rng.random(),
        hair=rng.random(),
    )


def _any_scene(rng: random.Random, mixture: Mixture) -> Scene:
    background = rng.choice(BACKGROUNDS)
    variety = tuple(rng.random() for _ in range(6))
    lot = rng.random()
    actors: tuple[Actor, ...]
    if lot < mixture.people:
        actors = (_person(rng, background),)
    elif lot < mixture.people + mixture.pairs:
        actors = (_object(rng, background, "left"), _object(rng, background, "right"))
    else:
        actors = (_object(rng, background),)
    camera = "fixed"
    if len(actors) == 1 and rng.random() < mixture.moving_camera:
        camera = rng.choice(CAMERAS[1:])
        if actors[0].kind != "person":
            calm = _object(rng, background, "left")
            actors = (Actor(calm.kind, calm.colour, calm.motion, shift=calm.shift, phase=calm.phase),)
    return Scene(background, actors, camera, variety)


def sample_scene(rng: random.Random, split: Split = "train", mixture: Mixture | None = None) -> Scene:
    """Draw one scene by lot; `split` says on which side of the fence its combinations lie."""
    mixture = mixture or Mixture()
    while True:
        scene = _any_scene(rng, mixture)
        if held_out(scene) == (split == "held_out"):
            return scene


def scenes(seed: int, count: int, split: Split = "train", mixture: Mixture | None = None) -> Iterator[Scene]:
    """A reproducible run of `count` scenes."""
    rng = random.Random(seed)
    for _ in range(count):
        yield sample_scene(rng, split, mixture)
