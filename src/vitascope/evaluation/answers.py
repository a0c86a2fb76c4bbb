"""Prompts of the toy world have true answers: what a clip must show is known, and is read back."""

from __future__ import annotations

from collections.abc import Iterator

from vitascope.clip import Clip
from vitascope.evaluation.leaderboard import Measurement
from vitascope.evaluation.suites import Item
from vitascope.toyworld.checkers import check
from vitascope.toyworld.prompts import held_out_prompts

ALL = "answer-all"


def score_answers(clip: Clip, item: Item, algorithm: str) -> Iterator[Measurement]:
    """Whether a clip shows the place, thing, colour and motion of its prompt: 1 or 0 each, and all of them.

    Raises: IndexError for an answer that is not in the list of held-out prompts.
    """
    assert item.answer is not None, "asked only for items with an answer"
    right = check(clip.array(), held_out_prompts()[item.answer].scene)
    for name, value in {**{f"answer-{key}": v for key, v in right.items()}, ALL: all(right.values())}.items():
        yield Measurement(
            algorithm=algorithm,
            item=item.id,
            metric=name,
            tier="exact",
            unit="share right",
            direction="higher",
            value=float(value),
        )
