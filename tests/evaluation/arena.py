"""Votes for tests."""

from datetime import UTC, datetime

import numpy as np
from scipy.special import expit

from vitascope.clip import Clip
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item, Suite
from vitascope.evaluation.votes import Vote
from vitascope.media import write

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


def run_of(folder, clips, prompts):
    """A run of `eval` whose clips are given: frames by algorithm and item."""
    items = tuple(Item(id=name, prompt=prompt) for name, prompt in prompts.items())
    run = SuiteRun(Suite(name="given", items=items), folder)
    run.begin()
    for algorithm, by_item in clips.items():
        for item in items:
            made = run.blank(Contender.parse(algorithm), item)
            run.place(made).parent.mkdir(exist_ok=True)
            write(Clip(by_item[item.id], 8), run.place(made))
            path = run.place(made).relative_to(folder).as_posix()
            run.results.put(made.model_copy(update={"path": path, "seconds": 1.0, "machine": "test"}))
    return run
