"""`vitascope doctor`: what this machine has and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Say what this machine has, which extras are missing, and what fits in its memory."""
    from vitascope.cli.display import print_json, print_table
    from vitascope.engine.machine import examine
    from vitascope.generators import known_models

    report = examine()
    fits = {known.name: report.fits(known.download_gib or 0.1) for _, known in known_models()}
    if json_:
        print_json({**report.model_dump(mode="json"), "fits": fits})
        return
    print_table(["this machine", ""], [[name, value] for name, value in report.facts.items()])
    print()
    print_table(
        ["extra", "packages", "missing"],
        [
            [extra.name, ", ".join(extra.packages), ", ".join(extra.missing) or "none"]
            for extra in report.extras
        ],
    )
    print()
    print_table(["model", "weights in memory"], [[name, verdict] for name, verdict in fits.items()])
