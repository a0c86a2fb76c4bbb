"""`vitascope eval`, `report` and `arena`: compare generators, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vitascope.evaluation.year_report import MeasuredRun

Folder = Annotated[Path, typer.Option("--folder", "-f", help="Where clips and results are kept.")]
Language = Annotated[str, typer.Option(help="en or zh.")]


def evaluate(
    suite: Annotated[
        str,
        typer.Argument(help="toyworld, toyworld-images, everyday, a YAML file, or VBench's list of prompts."),
    ],
    models: Annotated[
        str | None,
        typer.Option(help="MODEL[:SPEED][+KNOB=VALUE]..., separated by commas; sprout if nothing is given."),
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER: clips made elsewhere, ITEM.mp4 or PROMPT-SEED.mp4; may be repeated."),
    ] = None,
    folder: Folder = Path("runs/eval"),
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Worker processes here; 0 leaves the work to other machines.")
    ] = 1,
    database: Annotated[
        str | None, typer.Option(help="A PostgreSQL URL: workers of other machines take part.")
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option(help="Where all machines keep files, such as s3://bucket/prefix.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The report, .html or .pdf.")] = None,
    language: Language = "en",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make a suite's clips with several models, measure them, and end in a report; a second call goes on."""
    from vitascope.cli.display import page_language, progress_bar
    from vitascope.cli.making import cancelled_by_signals
    from vitascope.context import Context
    from vitascope.errors import RequestError
    from vitascope.evaluation.contenders import Contender, check_names, default_model
    from vitascope.evaluation.outside import OutsideClips
    from vitascope.evaluation.queued import make_queued
    from vitascope.evaluation.runs import SuiteRun, default_metrics
    from vitascope.evaluation.suites import find_suite
    from vitascope.evaluation.year_report import check_report
    from vitascope.metrics import METRICS

    page_language(language)
    if output is not None:
        check_report(output)
    found = find_suite(suite).first(limit)
    outside = [OutsideClips.parse(text) for text in clips or ()]
    named = models if models is not None else default_model(found) if not outside else ""
    contenders = [Contender.parse(text) for text in named.split(",") if text.strip()]
    check_names([*(one.name for one in contenders), *(one.name for one in outside)])
    if workers == 0 and not database:
        raise RequestError("--workers 0 needs --database: nobody else sees this queue", param="workers")
    metrics = [METRICS[name]() for name in metric] if metric else default_metrics(found)
    run = SuiteRun(found, folder)
    for one in outside:
        one.adopt(run)
    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            if contenders:
                make_queued(
                    run, contenders, context, workers, device, database=database or "", store=artifacts or ""
                )
            run.measure(metrics, context)
    made = run.made()
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
    from vitascope.cli.display import page_language
    from vitascope.evaluation.stand import measured_runs
    from vitascope.evaluation.year_report import check_report, write_year_report, year_html

    written_in = page_language(language)
    check_report(output)
    runs = [measured for folder in folders or () for measured in measured_runs(folder)]
    print(write_year_report(output, year_html(runs, bench or (), written_in)))


def arena(
    folder: Annotated[Path, typer.Argument(help="A folder of `vitascope eval` with two models or more.")],
    host: Annotated[
        str, typer.Option(help="The arena asks for no password: keep it on loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
    scores: Annotated[
        bool, typer.Option("--scores", help="One clip at a time, from 1 to 5, in place of pairs.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="t2v, i2v ...: of a suite with items of several.")] = None,
) -> None:
    """Open a booth in the browser, clips without names; FOLDER/votes.jsonl or opinions.jsonl keeps what is said."""
    from importlib.util import find_spec

    from vitascope.errors import DependencyMissing, RequestError

    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise DependencyMissing(package, "serve", "the arena")
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise RequestError(f"--host {host}: the arena knows no passwords and answers on loopback only")
    import uvicorn

    from vitascope.evaluation.stand import Stand
    from vitascope.server.arena.app import create_arena, create_scoring

    stand = Stand.of(_one_task(folder, task))
    app = create_scoring(stand.scoring()) if scores else create_arena(stand.booth())
    print(f"{'score' if scores else 'vote'} at http://{host}:{port}/")
    uvicorn.run(app, host=host, port=port, log_level="warning")


def _one_task(folder: Path, task: str | None) -> MeasuredRun:
    from vitascope.errors import RequestError, UnknownName
    from vitascope.evaluation.stand import measured_runs

    by_task = {measured.task: measured for measured in measured_runs(folder)}
    if task is None and len(by_task) > 1:
        raise RequestError(
            f"{str(folder)!r} has items of {', '.join(by_task)}: say which with --task", param="task"
        )
    task = task or next(iter(by_task))
    if task not in by_task:
        raise UnknownName("task of this run", task, by_task, param="task")
    return by_task[task]
