"""How often the arena's 95 percent intervals hold the truth; writes a dated JSON file beside the others."""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np

from vitascope.atomic import write_bytes
from vitascope.evaluation.simulation import Population, coverage

STRENGTHS = tuple(float(strength) for strength in np.linspace(-1, 1, 6))
SETTINGS = [
    Population(STRENGTHS, items, votes_per_item, item_spread, tie_share)
    for items, votes_per_item in ((60, 10), (30, 20))
    for item_spread, tie_share in ((0.0, 0.0), (0.8, 0.0), (0.8, 0.2))
]


def main() -> None:
    """Simulate every setting and write one dated JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    started, results = time.perf_counter(), []
    for population in SETTINGS:
        result = coverage(population, arguments.simulations)
        results.append({"population": asdict(population), "coverage": asdict(result)})
        print(
            f"{population.items} items x {population.votes_per_item} votes, spread {population.item_spread}, "
            f"ties {population.tie_share}: {result.covered:.2%} covered, "
            f"{result.covered_if_votes_were_independent:.2%} if votes were independent"
        )
    record = {
        "benchmark": "bradley_terry_coverage",
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "seed": 0,
        "seconds": round(time.perf_counter() - started, 1),
        "results": results,
    }
    name = f"{record['date']}-bradley-terry-coverage.json"
    path = write_bytes(arguments.out / name, (json.dumps(record, indent=2) + "\n").encode())
    print(path)


if __name__ == "__main__":
    main()
