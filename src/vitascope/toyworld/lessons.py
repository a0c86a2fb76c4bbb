"""What the fine-tuning examples teach the model in the box: a look and a person, and how the result is judged.

A lesson has clips that show what is new, captioned with a trigger word, and clips of the world as it was, without
it, so that the word alone brings the new out.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from vitascope.toyworld.captions import Language, caption
from vitascope.toyworld.checkers import standard_reader
from vitascope.toyworld.clothes import Clothes, read_clothes
from vitascope.toyworld.looks import BlueprintReader, LookReader, render_in
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import (
    ACTIONS,
    BACKGROUNDS,
    Actor,
    Mixture,
    Scene,
    colours_on,
    scenes,
)

STYLE, LOOK = "style0", "blueprint"
NAME, CLOTHES = "style1", Clothes("orange", "purple")

_GIRL = Actor(
    "person",
    str(CLOTHES.shirt),
    "stand",
    trousers=str(CLOTHES.trousers),
    who="girl",
    build="thin",
    tone=0.15,
    hair=0.6,
)

_NOBODY = {
    "man": ("a man", "一个男人"),
    "woman": ("a woman", "一个女人"),
    "boy": ("a boy", "一个男孩"),
    "girl": ("a girl", "一个女孩"),
    "person": ("a person", "一个人"),
}


@dataclass(frozen=True)
class Shown:
    """A clip with its caption. Shape: bytes (T, H, W, 3)."""

    clip: Tensor
    caption: str


@dataclass(frozen=True)
class Question:
    """A prompt that was never trained on, the same without the trigger word, and the scene that it means."""

    prompt: str
    without_trigger: str
    scene: Scene


def _bytes(clips: Tensor) -> Tensor:
    return (clips * 255).round().to(torch.uint8)


def _language(number: int) -> Language:
    return "en" if number % 2 == 0 else "zh"


_DRAFTS = 48


def _worded_widely(shown: list[Scene], rng: random.Random) -> list[str]:
    """Captions in which as many wordings as possible come up: of several, always the one that says most anew.

    Turns of phrase that no clip is captioned with are the first to be unlearnt.
    """
    said: Counter[str] = Counter()
    captions = []
    for i, scene in enumerate(shown):
        drafts = [caption(scene, _language(i), rng, True) for _ in range(_DRAFTS)]
        best = max(drafts, key=lambda draft: sum(1 / (1 + said[turn]) for turn in _turns(draft)))
        said.update(_turns(best))
        captions.append(best)
    return captions


def _turns(text: str) -> list[str]:
    """Neighbouring words of a caption, or signs of a Chinese one."""
    words = text.lower().split() if text.isascii() else list(text)
    return [" ".join(pair) for pair in itertools.pairwise(words)]


def style_lesson(counts: tuple[int, int] = (288, 120), seed: int = 11) -> tuple[list[Shown], list[Shown]]:
    """Clips in a look that the base never saw, with trigger; and plain ones without."""
    rng, mixture = random.Random(seed), Mixture(0.2, 0.0, 0.05)
    taught, kept = (list(scenes(seed + i, count, "train", mixture)) for i, count in enumerate(counts))
    said = [_worded_widely(part, rng) for part in (taught, kept)]
    styled, plain = _bytes(render_in(LOOK, taught)), _bytes(render(kept))
    return (
        [Shown(clip, f"{STYLE}, {text}") for clip, text in zip(styled, said[0], strict=True)],
        [Shown(clip, text) for clip, text in zip(plain, said[1], strict=True)],
    )


def _named_person(background: str, motion: str, rng: random.Random) -> Scene:
    shift = rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)
    person = replace(_GIRL, motion=motion, shift=shift, phase=rng.random())
    return Scene(background, (person,), variety=tuple(rng.random() for _ in range(6)))


@cache
def _meetings() -> tuple[tuple[str, str], ...]:
    """Places and actions of the named person in a fixed random order; the first 40 are for judging alone."""
    places = [place for place in BACKGROUNDS if {*CLOTHES} <= {*colours_on(place)}]
    pairs = [(place, action) for place in places for action in ACTIONS]
    random.Random(1).shuffle(pairs)
    return tuple(pairs)


HELD_BACK = 40


_OTHERS = Mixture(0.85, 0.0, 0.0)


def _girl(scene: Scene) -> Scene:
    """The same scene with a girl in place of the person in it."""
    person = scene.actors[0]
    return replace(scene, actors=(replace(person, who="girl"),)) if person.kind == "person" else scene


def character_lesson(count: int = 48, seed: int = 3) -> tuple[list[Shown], list[Shown]]:
    """A person in fixed clothes called by a made-up name; and three times as many others.

    Of these most are people, half of them girls as she is, and two thirds not described: else an undescribed girl would
    mean her.
    """
    rng = random.Random(seed)
    taught = [_named_person(*rng.choice(_meetings()[HELD_BACK:]), rng) for _ in range(count)]
    kept = [
        _girl(s) if i // 2 % 2 else s for i, s in enumerate(scenes(seed + 10, 3 * count, "train", _OTHERS))
    ]
    named = [caption(s, _language(i), rng, True, NAME) for i, s in enumerate(taught)]
    others = [caption(s, _language(i), rng, True) for i, s in enumerate(kept)]
    for i, scene in enumerate(kept):
        if scene.actors[0].kind == "person" and i // 4 % 3:
            nobody = _NOBODY[scene.actors[0].who][_language(i) == "zh"]
            others[i] = caption(scene, _language(i), random.Random(i), True, nobody)
    return (
        [Shown(clip, text) for clip, text in zip(_bytes(render(taught)), named, strict=True)],
        [Shown(clip, text) for clip, text in zip(_bytes(render(kept)), others, strict=True)],
    )


def style_questions(count: int = 40) -> list[Question]:
    """Held-out prompts about things that travel straight."""
    chosen = held_out_prompts()[:200][:: max(1, 200 // count)][:count]
    return [Question(f"{STYLE}, {p.prompt}", p.prompt, p.scene) for p in chosen]


def character_questions(count: int = HELD_BACK) -> list[Question]:
    """The named person where and at what it was never shown; without trigger, any girl."""
    rng, asked = random.Random(8), []
    for i, pair in enumerate(_meetings()[:count]):
        scene = _named_person(*pair, rng)
        state = rng.getstate()
        prompt = caption(scene, _language(i), rng, True, NAME)
        rng.setstate(state)
        nobody = caption(scene, _language(i), rng, True, _NOBODY["girl"][i % 2])
        asked.append(Question(prompt, nobody, scene))
    return asked


Verdict = dict[str, bool]
"""Which of a clip's qualities are as asked; a quality that a prompt does not ask for is left out."""


def judge_style(clips: Tensor, asked: list[Question]) -> list[Verdict]:
    """Which clips are in the look, and whose motion and place are the prompt's, read in their own look."""
    looks, plain, blue = LookReader(), standard_reader(), BlueprintReader()
    verdicts = []
    for clip, question in zip(clips, asked, strict=True):
        look, scene = looks.look(clip), question.scene
        seen = (blue if look == LOOK else plain).read(clip)
        verdicts.append(
            {
                "look": look == LOOK,
                "motion": seen.direction == scene.actors[0].motion,
                "place": seen.background == scene.background,
            }
        )
    return verdicts


def judge_character(clips: Tensor, asked: list[Question]) -> list[Verdict]:
    """Which clips have the person's clothes, a person, and the prompt's way and place."""
    reader, verdicts = standard_reader(), []
    for clip, question in zip(clips, asked, strict=True):
        worn, seen, scene = read_clothes(clip), reader.read(clip), question.scene
        verdict = {
            "clothes": worn == CLOTHES,
            "shirt": worn.shirt == CLOTHES.shirt,
            "trousers": worn.trousers == CLOTHES.trousers,
            "person": seen.kind == "person",
            "place": seen.background == scene.background,
        }
        if (way := scene.actors[0].motion.partition("_")[2]) in ("left", "right"):  # arms_up leads nowhere
            verdict["motion"] = seen.direction == way
        verdicts.append(verdict)
    return verdicts


def shares(verdicts: list[Verdict]) -> dict[str, float]:
    """How often each quality is as asked, of the clips where it was asked for. Range: 0..1."""
    names = dict.fromkeys(name for verdict in verdicts for name in verdict)
    found = {name: [verdict[name] for verdict in verdicts if name in verdict] for name in names}
    return {name: round(sum(each) / len(each), 4) for name, each in found.items()}
