"""`vitascope models` and `vitascope list`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer


def models(json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """List the models: what can run here, what needs a download, licences."""
    from vitascope.cli.display import print_json, print_table
    from vitascope.engine.weights import availability
    from vitascope.generators import GENERATORS

    rows = []
    for generator in GENERATORS:
        for model in generator.models:
            rows.append(
                {
                    "model": model.name,
                    "generator": generator.name,
                    "tasks": list(model.tasks),
                    "licence": model.licence,
                    "repo": model.repo,
                    "download_gib": model.download_gib,
                    "here": availability(model.repo),
                }
            )
    if json_:
        print_json(rows)
        return
    print_table(
        ["model", "tasks", "here", "GiB", "licence", "repository"],
        [
            [
                str(row["model"]),
                ", ".join(row["tasks"]),
                str(row["here"]),
                f"{row['download_gib']:g}",
                str(row["licence"]),
                str(row["repo"]),
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
    from vitascope.steps import STEPS

    if shelf == "workflows":
        from vitascope.workflows.workflow import load, names

        rows = [{"name": name, "summary": load(name).summary} for name in names()]
        if json_:
            print_json(rows)
        else:
            print_table(["name", "what it does"], [[row["name"], row["summary"]] for row in rows])
        return
    shelves = {"generators": GENERATORS, "steps": STEPS, "metrics": METRICS}
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
