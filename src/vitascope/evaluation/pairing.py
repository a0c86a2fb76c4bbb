"""Choose which two clips to show next, so that votes go where they tell most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from vitascope.errors import RequestError
from vitascope.evaluation.votes import Vote


class DrawnPair(NamedTuple):
    """Two algorithms to show on an item, and how likely it was that this pair of the item's was drawn."""

    item: str
    left: str
    right: str
    probability: float


def pair_probabilities(algorithms: Sequence[str], votes: Iterable[Vote]) -> dict[tuple[str, str], float]:
    """How likely each pair of an item's algorithms is to be drawn: half uniform, half by 1 / (1 + votes).

    The uniform half keeps every pair possible, so that weighting by one over the probability stays bounded.
    Raises: RequestError for fewer than two algorithms.
    """
    pairs = list(combinations(sorted(set(algorithms)), 2))
    if not pairs:
        raise RequestError(f"an item needs clips of two algorithms or more, not of {sorted(set(algorithms))}")
    counts = Counter(vote.pair for vote in votes if vote.is_counted)
    need = np.array([1 / (1 + counts[pair]) for pair in pairs])
    chance = 0.5 / len(pairs) + 0.5 * need / need.sum()
    return dict(zip(pairs, chance.tolist(), strict=True))


def draw_pair(
    clips: Mapping[str, Sequence[str]], votes: Sequence[Vote], rater: str, rng: np.random.Generator
) -> DrawnPair:
    """A pair for this rater that it has not voted on: the item uniformly, then the pair, then the sides.

    `clips` gives the algorithms that have a clip of each item. The probability is the one among all pairs of
    the item, before those are left out that the rater has voted on.
    Raises: RequestError if the rater has voted on everything.
    """
    voted = {(vote.item, vote.pair) for vote in votes if vote.rater == rater and vote.is_counted}
    for place in rng.permutation(len(clips)):
        item = sorted(clips)[place]
        chances = pair_probabilities(clips[item], votes)
        left_over = [pair for pair in chances if (item, pair) not in voted]
        if left_over:
            weights = np.array([chances[pair] for pair in left_over])
            pair = left_over[rng.choice(len(left_over), p=weights / weights.sum())]
            left, right = pair if rng.random() < 0.5 else pair[::-1]
            return DrawnPair(item, left, right, chances[pair])
    raise RequestError(f"rater {rater!r} has voted on every pair of the {len(clips)} items")
