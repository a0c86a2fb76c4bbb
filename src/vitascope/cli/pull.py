"""`vitascope pull`: fetch a model before it is needed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer


class From(StrEnum):
    """Where models are fetched from."""

    HUB = "hub"
    MODELSCOPE = "modelscope"


def pull(
    model: Annotated[str, typer.Argument(help="Short name or hub id: cogvideox-2b, Wan-AI/...")],
    from_: Annotated[
        From, typer.Option("--from", help="The hub (or its mirror in HF_ENDPOINT), or ModelScope.")
    ] = From.HUB,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    repo: Annotated[
        str | None, typer.Option(help="With --from modelscope: the id that the model has there, if another.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read again what is here already, and fetch what is damaged.")
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A knob that names another part: name=value.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Fetch a model's weights: resumes where it stopped, checks sha256, says what it fetches and from where."""
    from vitascope.catalogue.runnable import facts_of
    from vitascope.cli.fetching import from_hub, from_modelscope
    from vitascope.cli.making import parse_knobs
    from vitascope.engine.machine import Room
    from vitascope.errors import RequestError, UnsupportedTask
    from vitascope.generators import for_model, known_models
    from vitascope.generators.base import Part

    knobs: dict[str, Any] = parse_knobs(set_ or []) | ({"revision": revision} if revision else {})
    if from_ is From.MODELSCOPE and (check or set_):
        raise RequestError("--check and --set are for the hub; leave them out with --from modelscope")
    if repo and from_ is From.HUB:
        raise RequestError(f"--repo {repo!r} is for --from modelscope; on the hub, give the id as MODEL")
    if from_ is From.MODELSCOPE and not any(known.is_called(model) for _, known in known_models()):
        # What family it is only its own files say, and the hub may be out of reach.
        from_modelscope((Part(repo=model),), repo, revision, dry_run=dry_run, quiet=quiet)
        return
    generator = for_model(model, **knobs)
    known = generator.known_model(model)
    if known is not None and known.repo is None:
        print(f"{known.name} comes with the package vitascope-embedded; there is nothing to fetch")
        return
    parts = generator.parts()
    if not parts:
        raise UnsupportedTask(f"{model!r} is on this machine already; pull takes a short name or a hub id")
    if known is not None:
        print(f"{known.name}: {known.note}; licence: {facts_of(known, Room.here()).licence}")
    if from_ is From.MODELSCOPE:
        from_modelscope(parts, repo, revision, dry_run=dry_run, quiet=quiet)
    else:
        from_hub(parts, dry_run=dry_run, check=check, quiet=quiet)
    if not dry_run:
        print(f'{model} is here; try: vitascope generate "..." --model {model}')
