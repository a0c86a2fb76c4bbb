"""`vitascope models` and `vitascope list`: what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def models(json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """List the models: what can run here, what needs a download, licences."""
    from vitascope.cli.display import print_json, print_table
    from vitascope.generators import is_here, known_models

    rows = [
        {"generator": generator.name, "here": is_here(known), **known.model_dump(mode="json")}
        for generator, known in known_models()
    ]
    if json_:
        print_json(rows)
        return
    print_table(
        ["model", "makes", "here", "download", "licence", "repository", "note"],
        [
            [
                row["name"],
                ", ".join(row["tasks"]),
                "yes" if row["here"] else "no",
                "-" if row["repo"] is None else f"{row['download_gib'] or 0:g} GiB",
                row["licence"],
                row["repo"] or "vitascope-embedded",
                row["note"],
            ]
            for row in rows
        ],
    )


def list_shelf(
    shelf: Annotated[str, typer.Argument(help="workflows, generators, steps or metrics")],
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON, with every parameter.")] = False,
) -> None:
    """List what stands on a shelf, with one line each."""
    from vitascope.cli.display import print_json, print_table
    from vitascope.errors import UnknownName
    from vitascope.generators import GENERATORS
    from vitascope.metrics import METRICS
    from vitascope.shelf import Shelf
    from vitascope.steps import STEPS

    if shelf == "workflows":
        from vitascope.workflows.workflow import load, names

        rows = [{"name": name, "summary": load(name).summary} for name in names()]
        if json_:
            print_json(rows)
        else:
            print_table(["name", "what it does"], [[row["name"], row["summary"]] for row in rows])
        return
    shelves: dict[str, Shelf[Any]] = {"generators": GENERATORS, "steps": STEPS, "metrics": METRICS}
    if shelf not in shelves:
        raise UnknownName("shelf", shelf, [*shelves, "workflows"])
    items = list(shelves[shelf])
    if json_:
        print_json(
            [
                {
                    "name": item.name,
                    "summary": item.summary(),
                    "parameters": item.model_json_schema()["properties"],
                }
                if item.model_fields
                else {"name": item.name, "summary": item.summary(), "parameters": {}}
                for item in items
            ]
        )
        return
    print_table(["name", "what it does"], [[item.name, item.summary()] for item in items])
