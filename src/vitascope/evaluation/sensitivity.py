"""Rate the same votes by other methods: how far the board depends on how it was computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from vitascope.errors import RequestError
from vitascope.evaluation.bradley_terry import (
    MEAN_RATING,
    POINTS,
    RIDGE,
    check_connected,
    design_of,
    fit_strengths,
)
from vitascope.evaluation.votes import Vote

Values = NDArray[np.float64]


def bootstrap_intervals(
    votes: Sequence[Vote], rounds: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals from drawing items with replacement. Units: rating points, 2.5 to 97.5 percent.

    They run a little narrow for few items; they are here to be held against the sandwich's.
    Raises: RequestError for a graph of pairs that is not connected.
    """
    design = design_of([vote for vote in votes if vote.is_counted])
    check_connected(design)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(rounds):
        count = np.bincount(
            rng.integers(0, design.num_clusters, design.num_clusters), minlength=design.num_clusters
        )
        weight = design.weight * count[design.cluster]
        drawn.append(fit_strengths(replace(design, weight=weight)))
    low, high = MEAN_RATING + POINTS * np.percentile(drawn, [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(design.names)}


@dataclass(frozen=True)
class DavidsonFit:
    """Ratings with ties as an outcome of their own. `tie_tendency` is 0 where nobody ever ties."""

    ratings: dict[str, float]
    tie_tendency: float


def fit_davidson(votes: Sequence[Vote], ridge: float = RIDGE) -> DavidsonFit:
    """Ratings under Davidson's model of ties. Units: rating points.

    Raises: RequestError for a graph of pairs that is not connected.
    Source: Davidson, On extending the Bradley-Terry model to accommodate ties, JASA 1970, equation 2.2.
    """
    design = design_of([vote for vote in votes if vote.is_counted])
    check_connected(design)
    ties = (design.share == 0.5).astype(float)

    def loss(parameters: Values) -> tuple[float, Values]:
        strengths, log_tendency = parameters[:-1], parameters[-1]
        lead = strengths[design.first] - strengths[design.second]
        terms = np.stack([lead / 2, -lead / 2, np.full(lead.shape, log_tendency)])
        total = np.logaddexp.reduce(terms, axis=0)
        outcome = np.stack([design.share - ties / 2, 1 - design.share - ties / 2, ties])
        chosen = (outcome * terms).sum(axis=0)
        value = design.weight @ (total - chosen) + ridge / 2 * strengths @ strengths
        pull = design.weight * (np.exp(terms - total) - outcome)
        gradient = np.zeros_like(parameters)
        slope = (pull[0] - pull[1]) / 2
        np.add.at(gradient, design.first, slope)
        np.add.at(gradient, design.second, -slope)
        gradient[:-1] += ridge * strengths
        gradient[-1] = pull[2].sum() + ridge * log_tendency
        return float(value + ridge / 2 * log_tendency**2), gradient

    found = minimize(loss, np.zeros(len(design.names) + 1), jac=True, method="BFGS", options={"gtol": 1e-7})
    strengths = found.x[:-1] - found.x[:-1].mean()
    ratings = {name: float(MEAN_RATING + POINTS * s) for name, s in zip(design.names, strengths, strict=True)}
    return DavidsonFit(ratings, float(np.exp(found.x[-1])))


@dataclass(frozen=True)
class StyleControlled:
    """Ratings with the influence of a clip's outward traits taken out.

    `effects` is the change of log odds for one standard deviation more of a trait.
    """

    ratings: dict[str, float]
    effects: dict[str, float]


def control_style(
    votes: Sequence[Vote],
    traits: Mapping[tuple[str, str], Mapping[str, float]],
    ridge: float = RIDGE,
    trait_ridge: float = 0.5,
) -> StyleControlled:
    """Ratings as they would be, had both clips the same resolution, length, brightness and so on.

    `traits[algorithm, item]` gives each clip's traits, none of them negative; the same names for every clip.
    Raises: RequestError for missing, differing or negative traits, or a graph that is not connected.
    Source: style control of lm-sys/FastChat (Apache-2.0), elo_analysis: (a - b) / (a + b), standardised.
    """
    counted = [vote for vote in votes if vote.is_counted]
    design = design_of(counted)
    check_connected(design)
    contrast, names = _contrasts(counted, traits)
    size = len(design.names)
    penalty = np.concatenate([np.full(size, ridge), np.full(len(names), trait_ridge)])

    def loss(parameters: Values) -> tuple[float, Values]:
        strengths, effects = parameters[:size], parameters[size:]
        lead = strengths[design.first] - strengths[design.second] + contrast @ effects
        value = design.weight @ (np.logaddexp(0, lead) - design.share * lead)
        pull = design.weight * (expit(lead) - design.share)
        gradient = penalty * parameters
        np.add.at(gradient, design.first, pull)
        np.add.at(gradient, design.second, -pull)
        gradient[size:] += contrast.T @ pull
        return float(value + penalty @ parameters**2 / 2), gradient

    found = minimize(loss, np.zeros(penalty.size), jac=True, method="BFGS", options={"gtol": 1e-7})
    strengths = found.x[:size] - found.x[:size].mean()
    ratings = {name: float(MEAN_RATING + POINTS * s) for name, s in zip(design.names, strengths, strict=True)}
    return StyleControlled(ratings, dict(zip(names, map(float, found.x[size:]), strict=True)))


def _contrasts(
    votes: Sequence[Vote], traits: Mapping[tuple[str, str], Mapping[str, float]]
) -> tuple[Values, list[str]]:
    names = sorted(next(iter(traits.values()), {}))
    rows = []
    for vote in votes:
        sides = []
        for algorithm in vote.pair:
            known = traits.get((algorithm, vote.item))
            if known is None or sorted(known) != names:
                raise RequestError(f"traits {names} are needed for {algorithm!r} on item {vote.item!r}")
            sides.append(np.array([known[name] for name in names]))
        if min(side.min(initial=0) for side in sides) < 0:
            raise RequestError(f"traits must not be negative; see {vote.pair} on item {vote.item!r}")
        total = sides[0] + sides[1]
        rows.append(np.divide(sides[0] - sides[1], total, out=np.zeros_like(total), where=total > 0))
    contrast = np.array(rows)
    spread = contrast.std(axis=0)
    return contrast / np.where(spread > 0, spread, 1), names
