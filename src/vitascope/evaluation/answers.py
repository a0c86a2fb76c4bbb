"""Score toy-world clips against the truth: what each prompt's clip must show is known, and checkers read it back."""

from __future__ import annotations

from collections.abc import Iterator

from vitascope.clip import Clip
from vitascope.evaluation.leaderboard import Measurement
from vitascope.evaluation.suites import Item
from vitascope.toyworld.checkers import check
from vitascope.toyworld.prompts import held_out_prompts

ALL = "answer-all"
ASKED = ("kind", "colour", "motion", "background")
#: The size that scenes are rendered at, and that the checkers look for.
SIDE = 128


def score_answers(clip: Clip, item: Item, algorithm: str) -> Iterator[Measurement]:
    """Whether a clip shows the place, thing, colour and motion of its prompt: 1 or 0 each, and all of them.

    Raises: IndexError for an answer that is not in the list of held-out prompts.
    """
    assert item.answer is not None, "asked only for items with an answer"
    scene = held_out_prompts()[item.answer].scene
    why = None
    if (clip.width, clip.height) != (SIDE, SIDE):
        why = f"answers are read from clips of {SIDE} x {SIDE}, this one is {clip.width} x {clip.height}"
    elif clip.num_frames < 2:
        why = "answers are read from two frames or more"
    right = dict.fromkeys(ASKED, None) if why else check(clip.array(), scene)
    together = None if why else all(right.values())
    for name, value in {**{f"answer-{key}": v for key, v in right.items()}, ALL: together}.items():
        yield Measurement(
            algorithm=algorithm,
            item=item.id,
            metric=name,
            tier="exact",
            unit="share right",
            direction="higher",
            value=None if value is None else float(value),
            not_measured=why,
        )
