"""Writing a prompt out without an LLM.

Honest about what it is: it adds stock phrases from a small lexicon, chosen by the prompt and the seed. It keeps
every word of the prompt, adds no thing, no colour of a named thing and no direction to it, and translates nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

# (the words that show the prompt has said this already, the phrases that may be added)
_ADDITIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "light": (
        (
            "light",
            "lit",
            "sun",
            "night",
            "dark",
            "dawn",
            "dusk",
            "moon",
            "neon",
            "candle",
            "shadow",
            "evening",
        ),
        (
            "Soft, even light shows every surface clearly.",
            "The light is natural and gentle, with delicate shadows.",
            "Diffuse light brings out texture and depth.",
        ),
    ),
    "camera": (
        ("camera", "shot", "zoom", "pan", "close-up", "angle", "drone", "aerial", "view", "tracking"),
        (
            "The camera stays steady at eye level and keeps the subject in the middle of the picture.",
            "A steady camera frames the whole scene.",
            "The picture is framed calmly, with room around the subject.",
        ),
    ),
    "motion": (
        ("slow", "fast", "quick", "gentle", "sudden", "still", "smooth"),
        (
            "Every movement is smooth and continuous from the first frame to the last.",
            "The movement is natural and unhurried.",
        ),
    ),
    "look": (
        (
            "style",
            "cartoon",
            "anime",
            "painting",
            "sketch",
            "photo",
            "realistic",
            "cinematic",
            "animation",
            "film",
        ),
        (
            "Fine detail, clean edges, consistent from frame to frame.",
            "The picture is sharp and rich in detail.",
        ),
    ),
}


def written_out(prompt: str, seed: int, max_words: int) -> str:
    """An English prompt with stock sentences on light, camera, motion and look, where it says nothing of them."""
    rng = random.Random(f"{seed}:{prompt}")
    sentences = [prompt.strip()]
    if sentences[0][-1] not in ".!?":
        sentences[0] += "."
    said = set(re.findall(r"[a-z-]+", prompt.lower()))
    for known, phrases in _ADDITIONS.values():
        if any(word.startswith(stem) for word in said for stem in known):
            continue
        addition = rng.choice(phrases)
        if sum(len(sentence.split()) for sentence in (*sentences, addition)) <= max_words:
            sentences.append(addition)
    return " ".join(sentences)


def pick(options: Sequence[str], prompt: str, seed: int, what: str) -> str:
    """One of `options`, the same for the same prompt, seed and purpose."""
    return random.Random(f"{seed}:{what}:{prompt}").choice(list(options))
