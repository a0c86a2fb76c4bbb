"""Say what a scene shows, in varied English or Chinese, and read such a sentence back."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Literal, NamedTuple

from vitascope.toyworld import wording as w
from vitascope.toyworld.scenes import DIRECTIONS, Actor, Scene

Language = Literal["en", "zh"]


class Said(NamedTuple):
    """What a sentence names; an attribute that it leaves open is None."""

    colour: str | None
    kind: str | None
    motion: str | None
    background: str | None


def caption(
    scene: Scene, language: Language, rng: random.Random, complete: bool = False, name: str = ""
) -> str:
    """A sentence about a scene.

    With `complete` it names colour, kind, motion and background of a scene's actors; without, one of
    them is now and then left out, as people do. A person who has a `name` is called by it and not described.
    """
    writer = _English(rng, complete, name) if language == "en" else _Chinese(rng, complete, name)
    return writer.sentence(scene)


class _Writer:
    def __init__(self, rng: random.Random, complete: bool, name: str = "") -> None:
        self.rng = rng
        self.complete = complete
        self.name = name

    def pick(self, words: tuple[str, ...]) -> str:
        return words[int(self.rng.random() * len(words))]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def omits(self, probability: float) -> bool:
        return not self.complete and self.chance(probability)


def _plain_form(says: str) -> str:
    """The verb as a heading would have it: "drives left" becomes "drive left"."""
    verb, _, rest = says.partition(" ")
    verb = verb[:-2] if verb in ("goes", "does") else re.sub("ie$", "y", verb[:-1])
    return f"{verb} {rest}".strip()


class _English(_Writer):
    def sentence(self, scene: Scene) -> str:
        place = "" if self.omits(0.05) else self._place(scene)
        subjects = [self._actor(a) for a in scene.actors]
        if len(subjects) == 2:
            left, right = subjects
            body = f"{left} on the left and {right} on the right"
            if self.chance(0.3):
                body = f"on the left {left}, on the right {right}"
        else:
            body = subjects[0]
        opened = bool(place) and self.chance(0.15)
        text = f"{place}, {body}" if opened else f"{body} {place}".strip()
        if not opened and self.chance(0.08):
            text = self.pick(("a video of ", "a cartoon of ", "an animation of ", "a clip of ")) + text
        if scene.camera != "fixed":
            text += ", " + self.pick(w.CAMERAS_EN[scene.camera])
        if self.chance(0.6):
            text = text[0].upper() + text[1:]
        return text + ("." if self.chance(0.3) else "")

    def _place(self, scene: Scene) -> str:
        phrases = w.BACKGROUNDS_EN[scene.background]
        fish = scene.actors[0].kind == "fish"
        if scene.background == ("underwater" if fish else "sea"):
            phrases = phrases + w.IN_THE_SEA_EN
        return self.pick(phrases)

    def _actor(self, actor: Actor) -> str:
        noun = self._person(actor) if actor.kind == "person" else self._thing(actor)
        if self.omits(0.06):
            return noun
        verb = self._motion(actor)
        form = self.rng.random()
        if form < 0.4:
            return f"{noun} {verb[0]}"
        if form > 0.95:
            return f"{noun} {_plain_form(verb[0])}"
        return f"{noun} {verb[1]}" if form < 0.8 else f"{noun} is {verb[1]}"

    def _noun_phrase(self, *words: str) -> str:
        said = " ".join(word for word in words if word)
        lot = self.rng.random()
        if lot < 0.72:
            return ("an " if said[0] in "aeiou" else "a ") + said
        return ("the " if lot < 0.84 else "one " if lot < 0.92 else "") + said

    def _thing(self, actor: Actor) -> str:
        size = self.pick(w.SIZES_EN[actor.size])
        colour = "" if self.omits(0.04) else self.pick(w.COLOURS_EN[actor.colour])
        return self._noun_phrase(size, colour, self.pick(w.KINDS_EN[actor.kind]))

    def _person(self, actor: Actor) -> str:
        if self.name:
            return self.name
        build = "" if self.chance(0.25) else self.pick(w.BUILDS_EN[actor.build])
        noun = self._noun_phrase(build, self.pick(w.WHO_EN[actor.who])).replace("a someone", "someone")
        if self.omits(0.06):
            return noun
        colour = self.pick(w.COLOURS_EN[actor.colour])
        clothes = self.pick(
            (
                "in a {} shirt",
                "in {}",
                "wearing a {} shirt",
                "dressed in {}",
                "in a {} t-shirt",
                "with a {} top",
            )
        )
        said = f"{noun} {clothes.format(colour)}"
        if "in {}" not in clothes and self.chance(0.3):
            said += f" and {self.pick(w.COLOURS_EN[actor.trousers])} {self.pick(('trousers', 'pants'))}"
        return said

    def _motion(self, actor: Actor) -> tuple[str, str]:
        verb, _, side = actor.motion.partition("_")
        if actor.kind == "person":
            if verb not in ("walk", "run"):
                return self._pair(w.MOVES_EN[actor.motion])
            says, saying = self._pair(w.MOVES_EN[verb])
            if self.omits(0.12):
                return says, saying
            where = self.pick(w.DIRECTIONS_EN[side])
            return f"{says} {where}", f"{saying} {where}"
        if actor.motion not in DIRECTIONS:
            return self._pair(w.MOVES_EN[actor.motion])
        if actor.motion in ("up", "down") and self.chance(0.4):
            return self._pair(w.MOVES_EN[actor.motion])
        verbs = w.VERBS_EN[""] if self.chance(0.35) else w.VERBS_EN.get(actor.kind, w.VERBS_EN[""])
        says, saying = self._pair(verbs)
        where = self.pick(w.DIRECTIONS_EN[actor.motion])
        return f"{says} {where}", f"{saying} {where}"

    def _pair(self, verbs: tuple[tuple[str, str], ...]) -> tuple[str, str]:
        return verbs[int(self.rng.random() * len(verbs))]


class _Chinese(_Writer):
    def sentence(self, scene: Scene) -> str:
        place = "" if self.omits(0.05) else self._place(scene)
        if len(scene.actors) == 2:
            left, right = ("".join(self._actor(a)) for a in scene.actors)
            text = (place + self.pick(("", ",")) if place else "") + f"左边{left},右边{right}"
        else:
            noun, verb = self._actor(scene.actors[0])
            lot = self.rng.random()
            if lot < 0.55:
                text = f"{noun}{place}{verb}"
            elif lot < 0.8 and place:
                text = f"{place}{self.pick((',', ',有', ''))}{noun}{verb}"
            else:
                text = f"{noun}{verb},{place}" if place else f"{noun}{verb}"
        if scene.camera != "fixed":
            text += "," + self.pick(w.CAMERAS_ZH[scene.camera])
        text = text.replace(",", self.pick((",", ",", ",")))
        return text + ("。" if self.chance(0.3) else "")

    def _place(self, scene: Scene) -> str:
        phrases = w.BACKGROUNDS_ZH[scene.background]
        fish = scene.actors[0].kind == "fish"
        if scene.background == ("underwater" if fish else "sea"):
            phrases = phrases + w.IN_THE_SEA_ZH
        said = self.pick(phrases)
        return said[1:] if self.chance(0.15) else said

    def _actor(self, actor: Actor) -> tuple[str, str]:
        noun = self._person(actor) if actor.kind == "person" else self._thing(actor)
        if self.omits(0.06):
            return noun, ""
        return noun, self.pick(("", "", "", "正在", "在")) + self._motion(actor)

    def _one(self, measure: str) -> str:
        return "" if self.chance(0.15) else "一" + measure

    def _thing(self, actor: Actor) -> str:
        measure = self.pick(w.MEASURES_ZH.get(actor.kind, w.MEASURES_ZH[""]))
        measure = self.pick(("个", "只")) if self.chance(0.12) else measure
        size = self.pick(w.SIZES_ZH[actor.size])
        colour = "" if self.omits(0.04) else self._colour(actor.colour)
        kind = self.pick(w.KINDS_ZH[actor.kind])
        if size.endswith("的") or self.chance(0.3):
            return self._one(measure) + size + colour + kind
        return self._one(measure) + colour + size + kind

    def _colour(self, name: str) -> str:
        return self.pick(w.COLOURS_ZH[name]) + self.pick(("色的", "色的", "色", ""))

    def _person(self, actor: Actor) -> str:
        if self.name:
            return self.name
        build = "" if self.chance(0.25) else self.pick(w.BUILDS_ZH[actor.build])
        noun = build + self.pick(w.WHO_ZH[actor.who])
        one = self._one(self.pick(("个", "个", "位", "名")))
        if self.omits(0.06):
            return one + noun
        colour = self.pick(w.COLOURS_ZH[actor.colour]) + self.pick(("色", "色的", ""))
        clothes = colour + self.pick(("上衣", "衣服", "衬衫", "T恤", "衣"))
        if self.chance(0.25):
            clothes += f"和{self.pick(w.COLOURS_ZH[actor.trousers])}{self.pick(('色', ''))}裤子"
        if self.chance(0.6):
            return f"{one}{self.pick(('穿', '穿着', '身穿'))}{clothes}的{noun}"
        return f"{one}{noun}{self.pick(('穿着', '身穿'))}{clothes}"

    def _towards(self, where: str) -> str:
        return self.pick(("向", "向", "往", "朝")) + where

    def _motion(self, actor: Actor) -> str:
        verb, _, side = actor.motion.partition("_")
        if actor.kind == "person":
            if verb not in ("walk", "run"):
                return self.pick(w.MOVES_ZH[actor.motion])
            says = self.pick(w.MOVES_ZH[verb])
            return says if self.omits(0.12) else self._towards(self.pick(w.DIRECTIONS_ZH[side])) + says
        if actor.motion not in DIRECTIONS:
            return self.pick(w.MOVES_ZH[actor.motion])
        if actor.motion in ("up", "down") and self.chance(0.4):
            return self.pick(w.MOVES_ZH[actor.motion])
        verbs = w.VERBS_ZH[""] if self.chance(0.35) else w.VERBS_ZH.get(actor.kind, w.VERBS_ZH[""])
        if actor.motion in ("left", "right") and self.chance(0.15):
            way = "从左往右" if actor.motion == "right" else "从右往左"
        else:
            way = self._towards(self.pick(w.DIRECTIONS_ZH[actor.motion]))
        return way + self.pick(verbs)


def _phrases(*tables: tuple[w.Words, str]) -> dict[str, str]:
    found = {}
    for table, template in tables:
        for name, words in table.items():
            found.update({template.format(word): name for word in words if word})
    return found


@cache
def _lexicon(language: Language) -> dict[str, dict[str, str]]:
    """Phrase -> name, for every attribute of a language."""
    if language == "en":
        moves: w.Words = {
            name: tuple(form for says, saying in verbs for form in (says, saying, _plain_form(says)))
            for name, verbs in w.MOVES_EN.items()
        }
        return {
            "background": _phrases((w.BACKGROUNDS_EN, "{}")) | dict.fromkeys(w.IN_THE_SEA_EN, "in the sea"),
            "colour": _phrases((w.COLOURS_EN, "{}")),
            "kind": _phrases((w.KINDS_EN, "{}"))
            | {word: "person" for ws in w.WHO_EN.values() for word in ws},
            "motion": _phrases((moves, "{}"), (w.DIRECTIONS_EN, "{}")),
        }
    ways = {"从左往右": "right", "从右往左": "left"}
    for way in ("向", "往", "朝"):
        ways |= _phrases((w.DIRECTIONS_ZH, way + "{}"))
    places = {name: tuple(p[1:] for p in phrases) for name, phrases in w.BACKGROUNDS_ZH.items()}
    return {
        "background": _phrases((places, "{}"))
        | dict.fromkeys((p[1:] for p in w.IN_THE_SEA_ZH), "in the sea"),
        "colour": _phrases((w.COLOURS_ZH, "{}")),
        "kind": _phrases((w.KINDS_ZH, "{}")) | {word: "person" for ws in w.WHO_ZH.values() for word in ws},
        "motion": _phrases((w.MOVES_ZH, "{}")) | ways,
    }


def _take(text: str, phrases: dict[str, str], words: bool) -> tuple[list[str], str]:
    """Names of all phrases in a text, longest first, and the text without them."""
    found: list[tuple[int, str]] = []
    for phrase in sorted(phrases, key=len, reverse=True):
        pattern = rf"\b{re.escape(phrase)}\b" if words else re.escape(phrase)
        for match in re.finditer(pattern, text):
            found.append((match.start(), phrases[phrase]))
            text = text[: match.start()] + "#" * len(match[0]) + text[match.end() :]
    return [name for _, name in sorted(found)], text


def parse(text: str) -> Said:
    """Read the attributes of a single actor from a sentence of this world."""
    language: Language = "zh" if re.search(r"[\u4e00-\u9fff]", text) else "en"
    rest = text.lower()
    if language == "en":
        rest = re.sub(r"\b(and|with) (\w+ )?(trousers|pants)\b", "", rest)
    lexicon = _lexicon(language)
    found: dict[str, list[str]] = {}
    for attribute in ("background", "motion", "kind", "colour"):
        found[attribute], rest = _take(rest, lexicon[attribute], words=language == "en")
    kind, background, colour = (next(iter(found[a]), None) for a in ("kind", "background", "colour"))
    if background == "in the sea":
        background = "underwater" if kind == "fish" else "sea"
    way = next((m for m in found["motion"] if m in DIRECTIONS), None)
    motion = way or next(iter(found["motion"]), None)
    gait = next((m for m in found["motion"] if m in ("walk", "run")), None)
    if kind == "person" and way and gait:
        motion = f"{gait}_{way}"
    return Said(colour, kind, motion, background)
