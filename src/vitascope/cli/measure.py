"""`vitascope measure`: numbers about clips, wherever they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vitascope.metrics import Metric, Score

_CLIPS_SIDE_BY_SIDE = 5


def measure(
    paths: Annotated[list[Path], typer.Argument(help="Clips to measure, or folders of clips.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="METRIC.KNOB=VALUE, such as clip-text-alignment.prompt=..."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The clip to compare with (PSNR, SSIM, LPIPS).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print it as CSV, one line a clip and metric.")] = False,
) -> None:
    """Measure clips: every metric that needs no weights, or those that are named."""
    import sys

    from vitascope.cli.display import print_json
    from vitascope.errors import RequestError
    from vitascope.media import read
    from vitascope.metrics import AnalysedClip
    from vitascope.metrics import measure as measure_clip

    if json_ and csv_:
        raise RequestError("--json and --csv: choose one", param="csv")
    metrics = _chosen(metric or [], set_ or [], reference is not None)
    other = read(reference) if reference else None
    measured, failed = dict[str, "list[Score]"](), list[str]()
    loaded: dict[Any, Any] = {}
    paths = _clips_of(paths)
    for path in paths:
        try:
            clip = AnalysedClip.of(read(path))
            clip.frame_statistics  # noqa: B018 - reads to the end: a file damaged in its middle is no clip
            measured[str(path)] = measure_clip(clip, metrics, other, loaded=loaded)
        except RequestError as error:  # one bad clip does not cost the others
            failed.append(str(path))
            print(f"{path}: not measured: {error}", file=sys.stderr)
    if json_:
        print_json(
            {path: [score.model_dump(mode="json") for score in scores] for path, scores in measured.items()}
        )
    elif csv_:
        _print_csv(metrics, measured)
    else:
        _print_tables(metrics, measured)
    if failed:
        raise RequestError(f"{len(failed)} of {len(paths)} clips could not be read: {', '.join(failed)}")


def _clips_of(paths: list[Path]) -> list[Path]:
    """The clips themselves: a folder stands for the clips in it, or else for one clip of pictures."""
    from vitascope.media import VIDEO_SUFFIXES

    found = list[Path]()
    for path in paths:
        inside = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if path.is_dir() else []
        )
        found += inside or [path]
    return list(dict.fromkeys(found))


def _chosen(names: list[str], settings: list[str], paired: bool) -> list[Metric]:
    from vitascope.cli.making import parse_knobs
    from vitascope.errors import RequestError
    from vitascope.metrics import METRICS

    names = list(dict.fromkeys(names)) or [
        kind.name for kind in METRICS if not kind.needs_weights and (paired or not kind.needs_reference)
    ]
    knobs: dict[str, dict[str, object]] = {name: {} for name in names}
    for spelt, value in parse_knobs(settings).items():
        owner, _, knob = spelt.rpartition(".")
        if owner not in knobs:
            raise RequestError(
                f"--set {spelt}: {owner or 'no metric'!r} is not measured here; name it with --metric",
                param="set",
            )
        knobs[owner][knob] = value
    return [METRICS[name].with_knobs(**knobs[name]) for name in names]


def _print_tables(metrics: list[Metric], measured: dict[str, list[Score]]) -> None:
    """A few clips side by side at a time, so that their columns stay readable."""
    from vitascope.cli.display import print_table

    titles = _titles([Path(path) for path in measured])
    clips = list(zip(titles, measured.values(), strict=True))
    for start in range(0, len(clips), _CLIPS_SIDE_BY_SIDE):
        shown = clips[start : start + _CLIPS_SIDE_BY_SIDE]
        rows = [
            [
                f"{item.name} ({item.unit})",
                {"higher": "higher is better", "lower": "lower is better"}.get(item.direction, ""),
                item.tier,
                *("-" if (value := scores[i].value) is None else f"{value:.4g}" for _, scores in shown),
            ]
            for i, item in enumerate(metrics)
        ]
        print_table(["metric", "", "tier", *(title for title, _ in shown)], rows)
        print()
    _print_reasons(metrics, clips)


def _print_reasons(metrics: list[Metric], clips: list[tuple[str, list[Score]]]) -> None:
    """Why there is no number, each reason once, with its metrics and clips."""
    missing: dict[tuple[str, str], list[str]] = {}
    for number, item in enumerate(metrics):
        where: dict[str, list[str]] = {}
        for title, scores in clips:
            if (score := scores[number]).not_measured:
                reason = score.not_measured.removeprefix(f"{item.name} ")
                where.setdefault(reason, []).append(title)
        for reason, titles in where.items():
            of = "" if len(titles) == len(clips) else f" ({', '.join(titles)})"
            missing.setdefault((reason, of), []).append(item.name)
    for (reason, of), names in missing.items():
        print(f"not measured: {', '.join(names)}: {reason}{of}")


def _print_csv(metrics: list[Metric], measured: dict[str, list[Score]]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["clip", "metric", "value", "unit", "direction", "tier", "not_measured"])
    for path, scores in measured.items():
        for item, score in zip(metrics, scores, strict=True):
            value = "" if score.value is None else repr(score.value)
            row = [path, item.name, value, item.unit, item.direction, item.tier, score.not_measured or ""]
            writer.writerow(row)


def _titles(paths: list[Path]) -> list[str]:
    """File names, or whole paths where two files have one name."""
    names = [path.name for path in paths]
    return [str(path) if names.count(path.name) > 1 else path.name for path in paths]
