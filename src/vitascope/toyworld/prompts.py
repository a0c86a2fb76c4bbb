"""The fixed list of prompts that quality is measured on: combinations that training never sees."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple, cast

from vitascope.toyworld.captions import Language, caption, parse
from vitascope.toyworld.scenes import DIRECTIONS, Actor, Mixture, Scene, scenes

_FILE = "held_out.json"


class HeldOut(NamedTuple):
    """A prompt and the scene that it describes."""

    prompt: str
    language: Language
    scene: Scene


def _straight(scene: Scene) -> bool:
    motion = scene.actors[0].motion
    return motion in DIRECTIONS or motion.partition("_")[2] in ("left", "right")


def draw_up(objects: int = 200, people: int = 40, seed: int = 20261122) -> list[HeldOut]:
    """Draw the list anew; the one in the repository came from the default values.

    Every prompt names colour, kind, direction and place; every other one is Chinese.
    """
    drawn: list[HeldOut] = []
    for share, count in ((0.0, objects), (1.0, people)):
        rng = random.Random(seed)
        candidates = scenes(seed + int(share), 100 * count, "held_out", Mixture(share, 0.0, 0.0))
        chosen = list(islice(filter(_straight, candidates), count))
        for i, scene in enumerate(chosen):
            language: Language = "en" if i % 2 == 0 else "zh"
            said = caption(scene, language, rng, complete=True)
            while parse(said).motion != scene.actors[0].motion:
                said = caption(scene, language, rng, complete=True)
            drawn.append(HeldOut(said, language, scene))
    return drawn


def dump(prompts: list[HeldOut]) -> str:
    """The list as JSON, one prompt a line."""
    rows = [
        json.dumps({**p._asdict(), "scene": dataclasses.asdict(p.scene)}, ensure_ascii=False) for p in prompts
    ]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _scene(data: dict[str, Any]) -> Scene:
    actors = tuple(Actor(**{**a, "shift": tuple(a["shift"])}) for a in data["actors"])
    return Scene(data["background"], actors, data["camera"], tuple(data["variety"]))


@cache
def held_out_prompts() -> tuple[HeldOut, ...]:
    """The list in the repository: 200 objects, then 40 people."""
    rows = json.loads((files("vitascope.toyworld") / _FILE).read_text(encoding="utf-8"))
    return tuple(HeldOut(r["prompt"], cast(Language, r["language"]), _scene(r["scene"])) for r in rows)
