"""`vitascope models` and `vitascope list`: what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

SHORT = {
    "text-to-video": "t2v",
    "image-to-video": "i2v",
    "video-to-video": "v2v",
    "trajectory-to-video": "trajectory",
}


def models(json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """List the models: how they are built, under which licence, what they need, whether they run here."""
    from vitascope.catalogue.runnable import facts_of
    from vitascope.cli.display import print_json, print_table
    from vitascope.engine.machine import Room
    from vitascope.generators import is_here, known_models

    room = Room.here()
    rows = [
        {
            "generator": generator.name,
            "here": is_here(known),
            **known.model_dump(mode="json"),
            **facts_of(known, room).model_dump(mode="json", exclude={"model"}),
        }
        for generator, known in known_models()
    ]
    if json_:
        print_json(rows)
        return
    columns = {
        "model": "name",
        "makes": "tasks",
        "era": "era",
        "attention": "attention",
        "VAE": "vae",
        "positions": "positions",
        "text encoder": "text_encoders",
        "licence": "terms",
        "memory": "memory",
        "runs here": "runs_here",
    }
    shown = [
        {
            **row,
            "tasks": " ".join(SHORT.get(kind, kind) for kind in row["tasks"]),
            "terms": row["licence_kind"] or row["licence"].partition(" (")[0],
        }
        for row in rows
    ]
    print_table(
        [*columns, "weights"],
        [[*(row[key] for key in columns.values()), "here" if row["here"] else "to fetch"] for row in shown],
    )
    print("Full licences, notes, repositories: vitascope models --json. Fetch weights: vitascope pull MODEL.")


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
