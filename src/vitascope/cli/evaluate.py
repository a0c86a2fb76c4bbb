"""`vitascope eval`, `report` and `arena`: compare generators, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vitascope.evaluation.year_report import MeasuredRun

Folder = Annotated[Path, typer.Option("--folder", "-f", help="Where clips and results are kept.")]
Language = Annotated[str, typer.Option(help="en or zh.")]
VOTES = "votes.jsonl"


def evaluate(
    suite: Annotated[
        str, typer.Argument(help="toyworld, everyday, a YAML file, or VBench's list of prompts.")
    ],
    models: Annotated[
        str, typer.Option(help="MODEL[:SPEED][+KNOB=VALUE]..., separated by commas.")
    ] = "sprout",
    folder: Folder = Path("runs/eval"),
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes that share the queue.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The report, .html or .pdf.")] = None,
    language: Language = "en",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make a suite's clips with several models, measure them, and end in a report; a second call goes on."""
    from vitascope.cli.display import progress_bar
    from vitascope.cli.making import cancelled_by_signals
    from vitascope.context import Context
    from vitascope.evaluation.contenders import Contender
    from vitascope.evaluation.queued import make_queued
    from vitascope.evaluation.runs import SuiteRun
    from vitascope.evaluation.suites import find_suite
    from vitascope.metrics import METRICS

    found = find_suite(suite).first(limit)
    contenders = [Contender.parse(text) for text in models.split(",") if text.strip()]
    metrics = (
        [METRICS[name]() for name in metric]
        if metric
        else [kind() for kind in METRICS if kind.tier != "needs weights" and not kind.needs_reference]
    )
    run = SuiteRun(found, folder)
    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            made = make_queued(run, contenders, context, num_workers=workers, device=device)
            run.measure(metrics, context)
    failed = [clip for clip in made if clip.failed]
    for clip in failed:
        print(f"{clip.algorithm}, {clip.item}: not made: {clip.failed}")
    print(f"{len(made) - len(failed)} clips in {folder}")
    report([folder], output=output or folder / "report.html", language=language)


def report(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of `vitascope eval`.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .html or .pdf file.")] = Path(
        "report.html"
    ),
    bench: Annotated[
        list[Path] | None, typer.Option("--bench", help="A JSON of a speed measurement; may be repeated.")
    ] = None,
    language: Language = "en",
) -> None:
    """Write the year's report: catalogue, eras, measurements, votes, clips side by side, speed, sources."""
    from vitascope.errors import UnknownName
    from vitascope.evaluation.year_report import write_year_report, year_html

    if language not in ("en", "zh"):
        raise UnknownName("language", language, ["en", "zh"], param="language")
    runs = [_measured(folder) for folder in folders or ()]
    print(write_year_report(output, year_html(runs, bench or (), language)))  # type: ignore[arg-type]


def arena(
    folder: Annotated[Path, typer.Argument(help="A folder of `vitascope eval` with two models or more.")],
    host: Annotated[
        str, typer.Option(help="The arena asks for no password: keep it on loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
) -> None:
    """Open a voting booth in the browser: two clips, no names; votes go to FOLDER/votes.jsonl."""
    from importlib.util import find_spec

    from vitascope.errors import DependencyMissing, RequestError

    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "the arena")
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise RequestError(f"--host {host}: the arena knows no passwords and answers on loopback only")
    import uvicorn

    from vitascope.evaluation.booth import Booth
    from vitascope.evaluation.votes import VoteStore
    from vitascope.server.arena.app import create_arena

    measured = _measured(folder)
    booth = Booth(
        measured.run.clips(),
        {item.id: item.prompt for item in measured.run.suite.items},
        VoteStore(folder / VOTES),
        folder / "blind",
        measured.task,
    )
    print(f"vote at http://{host}:{port}/")
    uvicorn.run(create_arena(booth), host=host, port=port, log_level="warning")


def _measured(folder: Path) -> MeasuredRun:
    from vitascope.evaluation.runs import open_run
    from vitascope.evaluation.votes import VoteStore
    from vitascope.evaluation.year_report import MeasuredRun

    run = open_run(folder)
    return MeasuredRun(run, run.suite.task_code, VoteStore(folder / VOTES).read())
