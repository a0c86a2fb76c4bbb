"""Votes for tests."""

from datetime import UTC, datetime

import numpy as np
from scipy.special import expit

from vitascope.evaluation.votes import Vote

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def vote(left="a", right="b", choice="left", item="item-0", rater="ann", **more):
    return Vote(task="t2v", item=item, left=left, right=right, choice=choice, rater=rater, at=NOON, **more)


def simulated(strengths, items=30, raters=8, seed=0, ties=0.0):
    """Every rater votes once on each item, on a pair drawn at random."""
    rng, names = np.random.default_rng(seed), sorted(strengths)
    votes = []
    for item in range(items):
        for rater in range(raters):
            left, right = rng.permutation(names)[:2]
            won = rng.random() < expit(strengths[left] - strengths[right])
            choice = "tie" if rng.random() < ties else ("left" if won else "right")
            votes.append(vote(str(left), str(right), choice, f"item-{item}", f"rater-{rater}"))
    return votes
