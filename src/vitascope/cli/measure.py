"""`vitascope measure`: numbers about clips, wherever they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def measure(
    paths: Annotated[list[Path], typer.Argument(help="Clips to measure.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one; may be repeated.")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="The clip to compare with (PSNR, SSIM).")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Measure clips: every metric that needs no weights, or those that are named."""
    import sys

    from vitascope.cli.display import print_json, print_table
    from vitascope.errors import RequestError
    from vitascope.media import read
    from vitascope.metrics import METRICS
    from vitascope.metrics import measure as measure_clip

    if metric:
        metrics = [METRICS[name]() for name in metric]
    else:
        metrics = [
            kind()
            for kind in METRICS
            if kind.tier != "needs weights" and (reference or not kind.needs_reference)
        ]
    other = read(reference) if reference else None
    columns, failed = {}, 0
    for path in paths:
        try:
            columns[str(path)] = measure_clip(read(path), metrics, other)
        except RequestError as error:  # one bad clip does not cost the others
            failed += 1
            print(f"{path}: not measured: {error}", file=sys.stderr)
    if json_:
        print_json(
            {path: [score.model_dump(mode="json") for score in scores] for path, scores in columns.items()}
        )
    elif columns:
        rows = [
            [
                f"{item.name} ({item.unit})",
                {"higher": "higher is better", "lower": "lower is better"}.get(item.direction, ""),
                item.tier,
                *("-" if s[i].value is None else f"{s[i].value:.4g}" for s in columns.values()),
            ]
            for i, item in enumerate(metrics)
        ]
        print_table(["metric", "", "tier", *(Path(path).name for path in columns)], rows)
        reasons = {
            f"{s.metric}: {s.not_measured}" for scores in columns.values() for s in scores if s.not_measured
        }
        for reason in sorted(reasons):
            print(f"not measured: {reason}")
    if failed:
        raise RequestError(f"{failed} of {len(paths)} clips could not be read")
