"""`vitascope info`: what a file is, what made it, and the command that makes it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def info(
    path: Annotated[Path, typer.Argument(help="A video or picture.")],
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print a file's size, length, labels and recipe, and the command that makes it again."""
    import yaml

    from vitascope.cli.display import print_json
    from vitascope.labels.reading import found_in
    from vitascope.media import probe, read_recipe
    from vitascope.workflows.replay import command

    media, recipe = probe(path), read_recipe(path)
    again = command(recipe, str(path)) if recipe else None
    labels = found_in(path)
    if json_:
        print_json(
            {
                "media": media.model_dump(mode="json"),
                "recipe": recipe.model_dump(mode="json") if recipe else None,
                "command": again,
                "labels": labels,
            }
        )
        return
    print(
        yaml.safe_dump({"media": media.model_dump(mode="json", exclude_none=True)}, sort_keys=False), end=""
    )
    if labels:
        print(yaml.safe_dump({"labels": labels}, sort_keys=False, allow_unicode=True), end="")
    if recipe is None:
        print("no recipe: Vitascope did not make this file, or its metadata was removed")
        return
    dumped = recipe.model_dump(mode="json", exclude_defaults=False)
    print(yaml.safe_dump({"recipe": dumped}, sort_keys=False, allow_unicode=True), end="")
    if again:
        print(f"made again by:\n  {again}")
