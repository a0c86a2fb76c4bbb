"""Writing a prompt out for the embedded model: what it leaves open is filled in, in the toy world's own words."""

from __future__ import annotations

import re

from vitascope.language.lexicon import pick
from vitascope.language.styles import language_of
from vitascope.toyworld import wording
from vitascope.toyworld.captions import parse
from vitascope.toyworld.scenes import BACKGROUNDS, CLASHES, COLOURS

CALM_MOTIONS = ("bounce", "spin", "sway", "grow")
CALM_ACTIONS = ("wave", "jump", "dance")
# Where a kind is at home; elsewhere any background that its colour stands out from.
HOMES = {
    "star": ("night", "space"),
    "moon": ("night", "space"),
    "rocket": ("space", "night"),
    "fish": ("underwater",),
    "boat": ("sea",),
    "car": ("city", "desert"),
    "tree": ("meadow", "mountains"),
    "flower": ("meadow", "room"),
    "cat": ("room", "meadow"),
    "house": ("meadow", "mountains", "snow"),
    "person": ("city", "room", "meadow", "snow"),
}


def completed(prompt: str, seed: int) -> str | None:
    """The prompt with a colour, a motion and a place added where it names none; None if it names nothing known.

    Every word of the prompt stays, in its order.
    """
    said = parse(prompt)
    if said.kind is None:
        return None
    chinese = language_of(prompt) == "zh"
    text = prompt.strip().rstrip(".。!！ ")
    colour = said.colour
    if colour is None and said.kind != "person":
        allowed = [c for c in COLOURS if said.background is None or c not in CLASHES[said.background]]
        colour = pick(allowed, prompt, seed, "colour")
        text = _with_colour(text, said.kind, colour, chinese)
    place = None
    if said.background is None:
        homes = HOMES.get(said.kind, BACKGROUNDS)
        fitting = [name for name in homes if colour is None or colour not in CLASHES[name]] or [
            name for name in BACKGROUNDS if colour not in CLASHES[name]
        ]
        place = pick(fitting, prompt, seed, "background")
    if said.motion is None:
        motion = pick(CALM_ACTIONS if said.kind == "person" else CALM_MOTIONS, prompt, seed, "motion")
        text = _with_motion(text, said.kind, motion, chinese)
    if place is not None:
        text += f",{wording.BACKGROUNDS_ZH[place][0]}" if chinese else f" {wording.BACKGROUNDS_EN[place][0]}"
    return text


def _with_colour(text: str, kind: str, colour: str, chinese: bool) -> str:
    nouns = (wording.KINDS_ZH if chinese else wording.KINDS_EN)[kind]
    for noun in sorted(nouns, key=len, reverse=True):
        if chinese and noun in text:
            return text.replace(noun, f"{wording.COLOURS_ZH[colour][0]}色的{noun}", 1)
        if not chinese and (
            match := re.search(rf"\b(an? )?((?:\w+ )??){re.escape(noun)}\b", text, re.IGNORECASE)
        ):
            before, word = text[: match.start()], wording.COLOURS_EN[colour][0]
            article = match[1] or ""
            if article and not match[2]:
                article = ("An " if article[0] == "A" else "an ") if word[0] in "aeiou" else article[0] + " "
            return f"{before}{article}{match[2]}{word} {text[match.end() - len(noun) :]}"
    return text


def _with_motion(text: str, kind: str, motion: str, chinese: bool) -> str:
    """An object's verb goes behind its noun; a person's, whose clothes may follow, to the end."""
    if chinese:
        return f"{text},{wording.MOVES_ZH[motion][0]}"
    says, saying = wording.MOVES_EN[motion][0]
    for noun in sorted(wording.KINDS_EN.get(kind, ()), key=len, reverse=True):
        if match := re.search(rf"\b{re.escape(noun)}\b", text, re.IGNORECASE):
            return f"{text[: match.end()]} {says}{text[match.end() :]}"
    return f"{text}, {saying}"
