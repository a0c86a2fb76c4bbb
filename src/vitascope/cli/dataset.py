"""`vitascope dataset`: look through clips before training on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Check, caption and split the clips that a model is fine-tuned on."
)
Folder = Annotated[Path, typer.Argument(help="Folder of videos and pictures.")]


@app.command()
def check(
    folder: Folder,
    model: Annotated[str, typer.Option("--model", "-m", help="Whose sizes and lengths count.")] = "sprout",
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT to train at; else the model's own.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames to train on; else the model's own.")] = None,
    captions: Annotated[Path | None, typer.Option(help="CSV or JSONL with columns file and caption.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet, .jpg or .png.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Say what is too short, small, dark, still, double, uncaptioned or unreadable, and where cuts are."""
    from vitascope.atomic import check_writable
    from vitascope.cli.display import print_json, print_table, progress_bar
    from vitascope.cli.making import cancelled_by_signals, parse_size
    from vitascope.context import Context
    from vitascope.training import inspection
    from vitascope.training.recipe import DataSource, Recipe, VideoShape
    from vitascope.training.trainable import buckets_of, check_trainable

    if sheet is not None:
        check_writable(sheet)
    shape = VideoShape(**parse_size(size), num_frames=frames)
    recipe = Recipe(name="check", model=model, data=(DataSource(path=folder),), video=shape)
    with progress_bar(quiet or json_) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            buckets = buckets_of(check_trainable(recipe), recipe)
            report, strips = inspection.inspect(folder, buckets, context, captions)
    if sheet is not None:
        inspection.sheet(strips, sheet, report.findings)
    if json_:
        print_json(report.model_dump(mode="json") | {"usable": report.usable})
        return
    if report.findings:
        rows = [(f.file, f.problem + (" (left out)" if f.fatal else ""), f.detail) for f in report.findings]
        print_table(("file", "problem", "detail"), rows)
    number = len({entry.file for entry in report.entries} | {f.file for f in report.findings})
    print(f"{report.usable} of {number} clips can be trained on" + (f"; {sheet}" if sheet else ""))


@app.command()
def split(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the scenes.")],
    least: Annotated[int, typer.Option(min=1, help="Scenes with fewer frames are left out.")] = 9,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Cut clips into their scenes; captions are copied."""
    from vitascope.cli.display import progress_bar
    from vitascope.cli.making import cancelled_by_signals
    from vitascope.context import Context
    from vitascope.training.inspection import split_scenes

    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            written = split_scenes(folder, output, context, least)
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(written)} scenes in {output}")


@app.command()
def caption(
    folder: Folder,
    url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint; else VITASCOPE_LLM_URL.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Its vision model; else VITASCOPE_LLM_MODEL.")
    ] = None,
    trigger: Annotated[str, typer.Option(help="Word put before every caption.")] = "",
    language: Annotated[str, typer.Option(help="Of the captions.")] = "English",
    again: Annotated[bool, typer.Option("--again", help="Also for clips that have a caption.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Have a vision model write a .txt beside every clip without a caption."""
    from vitascope.cli.display import progress_bar
    from vitascope.cli.making import cancelled_by_signals
    from vitascope.context import Context
    from vitascope.errors import RequestError
    from vitascope.language.chat import Endpoint
    from vitascope.training.captioning import caption_folder

    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen)
        settings = context.settings
        url, model = url or settings.llm_url, model or settings.llm_model
        if not url or not model:
            raise RequestError(
                "captions need --url and --model, or VITASCOPE_LLM_URL and VITASCOPE_LLM_MODEL"
            )
        with cancelled_by_signals(context):
            made = caption_folder(
                folder,
                Endpoint(url, model, settings.llm_key),
                context,
                trigger=trigger,
                language=language,
                again=again,
            )
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(made)} captions written in {folder}")
