"""`vitascope votes`: take what people said of a run out and in, and see whether its board may be published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vitascope.evaluation.append_only import AppendOnly
    from vitascope.evaluation.publication import Publication

app = typer.Typer(
    no_args_is_help=True,
    help="Votes and scores of a run: export, import, check whether the board may be published.",
    rich_markup_mode=None,
)
Run = Annotated[Path, typer.Argument(help="A folder of `vitascope eval`.")]
Scores = Annotated[bool, typer.Option("--scores", help="Scores from 1 to 5 in place of votes on pairs.")]


def _store(folder: Path, scores: bool) -> AppendOnly[Any]:
    from vitascope.evaluation.opinions import OpinionStore
    from vitascope.evaluation.stand import OPINIONS, VOTES
    from vitascope.evaluation.votes import VoteStore

    return OpinionStore(folder / OPINIONS) if scores else VoteStore(folder / VOTES)


@app.command("export")
def export(
    folder: Run,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .jsonl or .csv file.")],
    scores: Scores = False,
) -> None:
    """Write all votes, or all scores, into one file, one a line."""
    from vitascope.evaluation.runs import open_run
    from vitascope.evaluation.transfer import export as write

    open_run(folder)
    print(write(_store(folder, scores).read(), output))


@app.command("import")
def import_file(
    folder: Run,
    file: Annotated[
        Path, typer.Argument(help="A .jsonl or .csv file, of `votes export` or another program.")
    ],
    scores: Scores = False,
) -> None:
    """Append the votes of a file, all of them or none: nobody votes twice on one pair."""
    from vitascope.evaluation.runs import open_run
    from vitascope.evaluation.transfer import import_into

    run, store = open_run(folder), _store(folder, scores)
    count = import_into(store, file, run.suite, run.clips())
    print(f"{count} {store.word}s added to {store.path}")


@app.command("check")
def check(
    folder: Run, json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Say of each board of the run whether it may be published, and what is missing for it."""
    from vitascope.cli.display import print_json, print_table

    found = _publications(folder)
    if json_:
        print_json(
            [{"task": t, "of": o, "publishable": p.publishable, **p.model_dump()} for t, o, p in found]
        )
        return
    for task, of, publication in found:
        rows = [
            [check.rule, "ok" if check.passed else "missing", check.found, check.needed]
            for check in publication.checks
        ]
        verdict = "fit to be published" if publication.publishable else "not yet fit to be published"
        print_table(["rule", "", "found", "needed"], rows, title=f"{task}, {of}: {verdict}")


def _publications(folder: Path) -> list[tuple[str, str, Publication]]:
    from vitascope.evaluation.opinion_board import rate_opinions
    from vitascope.evaluation.publication import check_opinions, check_votes

    found = list[tuple[str, str, "Publication"]]()
    from vitascope.evaluation.stand import measured_runs

    for measured in measured_runs(folder):
        found.append((measured.task, "votes", check_votes(measured.votes)))
        if measured.opinions:
            found.append((measured.task, "scores", check_opinions(rate_opinions(measured.opinions))))
    return found
