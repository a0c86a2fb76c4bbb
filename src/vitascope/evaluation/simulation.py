"""Votes of made-up raters whose truth is known: the proof that ratings and their intervals are honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from vitascope.evaluation.bradley_terry import (
    POINTS,
    Design,
    clustered_covariance,
    fit_strengths,
)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Algorithms of known strength, voted on over many items.

    `item_spread` is how much an algorithm's strength varies from item to item (standard deviation of log
    odds): some are better at some prompts. `tie_share` is the share of votes that end in a tie.
    """

    strengths: tuple[float, ...]
    items: int
    votes_per_item: int
    item_spread: float = 0.0
    tie_share: float = 0.0

    def draw(self, rng: np.random.Generator) -> Design:
        """One arena's votes: pairs uniform, items equally often."""
        count, votes = len(self.strengths), self.items * self.votes_per_item
        one = rng.integers(0, count, votes)
        other = (one + rng.integers(1, count, votes)) % count
        first, second = np.minimum(one, other), np.maximum(one, other)
        cluster = np.repeat(np.arange(self.items), self.votes_per_item)
        local = np.array(self.strengths) + rng.normal(0, self.item_spread, (self.items, count))
        share = (rng.random(votes) < expit(local[cluster, first] - local[cluster, second])).astype(float)
        share[rng.random(votes) < self.tie_share] = 0.5
        names = tuple(f"algorithm-{index}" for index in range(count))
        return Design(names, first, second, share, np.ones(votes), cluster)

    def target(self) -> Values:
        """The strengths that endless votes would give. Shape: (n,), mean zero.

        The spread over items and ties pull them together: this, not `strengths`, is what ratings estimate.
        """
        places, weights = np.polynomial.hermite_e.hermegauss(60)
        first, second = np.triu_indices(len(self.strengths), 1)
        lead = np.array(self.strengths)[first] - np.array(self.strengths)[second]
        chance = expit(lead[:, None] + np.sqrt(2) * self.item_spread * places) @ (weights / weights.sum())
        share = (1 - self.tie_share) * chance + self.tie_share / 2
        names = tuple(map(str, range(len(self.strengths))))
        endless = Design(names, first, second, share, np.ones(share.size), np.zeros(share.size, int))
        return fit_strengths(endless, ridge=1e-9)


@dataclass(frozen=True)
class Coverage:
    """How often 95 percent intervals held the truth. Units: errors in rating points."""

    simulations: int
    covered: float
    covered_if_votes_were_independent: float
    within_three_errors: float
    mean_standard_error: float
    mean_bias: float


def coverage(population: Population, simulations: int, seed: int = 0) -> Coverage:
    """Simulate many arenas and count, over all algorithms, how often the interval held the truth.

    Range: covered should be 0.95. The figure that takes votes as independent shows what clustering is for.
    """
    rng, truth = np.random.default_rng(seed), population.target()
    misses, naive_misses, errors = [], [], []
    for _ in range(simulations):
        design = population.draw(rng)
        strengths = fit_strengths(design)
        error = _errors(design, strengths)
        each_alone = replace(design, cluster=np.arange(design.share.size))
        misses.append((strengths - truth) / error)
        naive_misses.append((strengths - truth) / _errors(each_alone, strengths))
        errors.append(error)
    reach = stats.t.ppf(0.975, population.items - 1)
    off, mean_error = np.abs(misses), np.mean(errors)
    return Coverage(
        simulations=simulations,
        covered=float((off < reach).mean()),
        covered_if_votes_were_independent=float((np.abs(naive_misses) < 1.96).mean()),
        within_three_errors=float((off < 3).mean()),
        mean_standard_error=float(POINTS * mean_error),
        mean_bias=float(POINTS * np.abs(np.mean(np.array(misses) * errors, axis=0)).max()),
    )


def _errors(design: Design, strengths: Values) -> Values:
    return np.sqrt(np.diag(clustered_covariance(design, strengths)))


def expected_width(standard_error: float, items: int, more_items: Sequence[int]) -> dict[int, float]:
    """How wide the 95 percent interval should be after voting on that many more items at the same pace.

    Units: rating points, from end to end.
    """
    widths = {}
    for more in more_items:
        total = items + more
        widths[more] = float(2 * stats.t.ppf(0.975, total - 1) * standard_error * np.sqrt(items / total))
    return widths
