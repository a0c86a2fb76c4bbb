"""`vitascope train`: a recipe becomes a LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file; see the docs page Fine-tune.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the run.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: adapter.rank=8; may be repeated.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; else it goes on from its last checkpoint.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Read the recipe and the data, then stop.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print every setting with its default.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Fine-tune a model: vitascope train examples/style/recipe.yaml"""
    from vitascope.cli.training import check_recipe, explain_recipe, train_recipe
    from vitascope.training.recipe import read_recipe

    changes = _changes(set_ or [])
    if output is not None:
        changes["output"] = str(output)
    if device is not None:
        changes["placement.device"] = device
    read = read_recipe(recipe, changes)
    if explain:
        explain_recipe(read)
    elif check:
        check_recipe(read)
    else:
        train_recipe(read, fresh=fresh, as_json=json_, quiet=quiet or json_)


def _changes(pairs: list[str]) -> dict[str, Any]:
    from vitascope.cli.making import parse_knobs

    return parse_knobs(pairs)
