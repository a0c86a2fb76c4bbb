"""How often the 95 % intervals of mean opinions hold the truth, and what weighing raters gains.

`python benchmarks/opinion_coverage.py --out FILE.json`. Simulated panels: prompts differ (sd 0.5), raters are biased
(sd 0.4), each score has noise (sd 0.6; for the weighing 0.3 to 1.2, a rater's own).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from conditions import conditions
from vitascope.evaluation.opinion_board import clustered_mean
from vitascope.evaluation.opinion_scores import mean_opinion, weigh_raters

PANELS = ((3, 10), (6, 12), (10, 20), (24, 40))
BY_PROMPT, BY_RATER, NOISE = 0.5, 0.4, 0.6


def coverage(raters: int, prompts: int, runs: int, gaps: float, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of runs whose interval holds the truth: ours, and that of scores taken as independent."""
    ours = plain = 0
    for _ in range(runs):
        scores = rng.normal(0, BY_PROMPT, prompts) + rng.normal(0, BY_RATER, (raters, 1))
        scores = scores + rng.normal(0, NOISE, scores.shape)
        scores[rng.random(scores.shape) < gaps] = np.nan
        mean, reach = clustered_mean(scores)
        ours += reach is not None and abs(mean) < reach
        known = scores[~np.isnan(scores)]
        plain += abs(known.mean()) < stats.t.ppf(0.975, known.size - 1) * stats.sem(known)
    return {
        "raters": raters,
        "prompts": prompts,
        "not_judged": gaps,
        "clustered": ours / runs,
        "taken_as_independent": plain / runs,
    }


def weighing(raters: int, prompts: int, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Mean error of clips' qualities, up to a common shift, with raters weighed and not."""
    errors: dict[str, list[float]] = {"weighed": [], "plain": []}
    for _ in range(runs):
        quality, noise = rng.uniform(1.5, 4.5, prompts), rng.uniform(0.3, 1.2, (raters, 1))
        scores = quality + rng.normal(0, 0.3, (raters, 1)) + noise * rng.normal(0, 1, (raters, prompts))
        for name, found in (("weighed", weigh_raters(scores).quality), ("plain", mean_opinion(scores).mean)):
            errors[name].append(float((found - found.mean() - quality + quality.mean()).std()))
    return {
        "raters": raters,
        "clips": prompts,
        **{name: float(np.mean(values)) for name, values in errors.items()},
    }


def main() -> None:
    """Simulate and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=2000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(20261126)
    rows = [
        coverage(raters, prompts, arguments.runs, gaps, rng)
        for raters, prompts in PANELS
        for gaps in (0.0, 0.3)
    ]
    weighed = [weighing(raters, prompts, arguments.runs // 4, rng) for raters, prompts in PANELS]
    result = {**conditions("cpu"), "runs": arguments.runs, "rows": rows, "weighing": weighed}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for row in (*rows, *weighed):
        print(row)


if __name__ == "__main__":
    main()
