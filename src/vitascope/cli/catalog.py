"""`vitascope catalog`: what is known of every algorithm, with its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True, help="What is known of every algorithm, with sources.", rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command("list")
def list_cards(
    text: Annotated[str, typer.Argument(help="Look for this in names, organisations, notes and facts.")] = "",
    task: Annotated[
        str | None, typer.Option(help="t2v, i2v, motion, trajectory-t2v, trajectory-i2v ...")
    ] = None,
    era: Annotated[str | None, typer.Option(help="One of the eras of the architectures.")] = None,
    licence: Annotated[str | None, typer.Option(help="open, conditions, non-commercial, code-only.")] = None,
    memory: Annotated[float | None, typer.Option(help="Runs in so many GB, as its authors say.")] = None,
    since: Annotated[str | None, typer.Option(help="Released since YYYY-MM.")] = None,
    until: Annotated[str | None, typer.Option(help="Released until YYYY-MM.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="released, name, parameters, min-memory, vbench ...")
    ] = None,
    json_: Json = False,
) -> None:
    """List the algorithms that meet every condition."""
    from vitascope.catalogue.eras import era_of
    from vitascope.catalogue.query import query_cards
    from vitascope.cli.display import print_json, print_table

    conditions: dict[str, Any] = {
        "text": text,
        "task": task,
        "era": era,
        "licence": licence,
        "max_memory_gb": memory,
        "released_since": since,
        "released_until": until,
        "sort": sort,
    }
    cards = query_cards(**{name: value for name, value in conditions.items() if value is not None})
    if json_:
        print_json([card.model_dump(mode="json") for card in cards])
        return
    print_table(
        ["id", "name", "tasks", "released", "era", "licence", ">= GB"],
        [
            [
                card.id,
                card.name,
                ", ".join(card.tasks),
                card.released or "?",
                era_of(card).era or "?",
                card.facts.licence.kind if card.facts.licence else "?",
                f"{card.facts.vram.min_gb:g}" if card.facts.vram and card.facts.vram.min_gb else "?",
            ]
            for card in cards
        ],
    )
    print(f"{len(cards)} algorithms")


@app.command("show")
def show_card(
    card: Annotated[str, typer.Argument(help="An id from `catalog list`.")], json_: Json = False
) -> None:
    """Show all that is known of one algorithm, with where and when it was read."""
    import yaml

    from vitascope.catalogue.compare import view_card
    from vitascope.cli.display import print_json

    view = view_card(card).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if json_:
        print_json(view)
    else:
        print(yaml.safe_dump(view, sort_keys=False, allow_unicode=True, width=110), end="")


@app.command("compare")
def compare(
    cards: Annotated[list[str], typer.Argument(help="Two or more ids.")], json_: Json = False
) -> None:
    """Put algorithms side by side; what differs is marked."""
    from vitascope.catalogue.compare import compare_cards
    from vitascope.cli.display import print_json, print_table

    comparison = compare_cards(cards)
    if json_:
        print_json(comparison.model_dump(mode="json"))
        return
    print_table(
        ["", *comparison.cards],
        [
            [("* " if row.differs else "  ") + row.label, *(c.text for c in row.cells)]
            for row in comparison.rows
        ],
    )
    for caution in comparison.cautions:
        print(f"caution: {caution}")


@app.command("figures")
def figures(
    folder: Annotated[Path, typer.Argument(help="Where to write timeline.svg and architecture.svg.")],
    cards: Annotated[
        list[str] | None, typer.Option("--card", help="For the architectures; may be repeated.")
    ] = None,
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """Draw the timeline of all algorithms, and compare architectures."""
    from vitascope.atomic import write_bytes
    from vitascope.catalogue.figures import architecture_svg, timeline_svg
    from vitascope.catalogue.query import query_cards
    from vitascope.cli.display import page_language

    written_in = page_language(language)
    chosen = cards or [card.id for card in query_cards(in_report=True)]
    print(write_bytes(folder / "timeline.svg", timeline_svg(language=written_in).encode()))
    print(write_bytes(folder / "architecture.svg", architecture_svg(chosen, written_in).encode()))


@app.command("add")
def add(
    card: Annotated[str, typer.Argument(help="The new card's id, or a TOML file named by it.")],
    name: Annotated[str | None, typer.Option(help="What its authors call it.")] = None,
    org: Annotated[str | None, typer.Option(help="Who made it.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="t2v, i2v, motion ...; may be repeated.")] = None,
    source: Annotated[str | None, typer.Option(help="The address that the facts were read at.")] = None,
    released: Annotated[str | None, typer.Option(help="YYYY-MM or YYYY-MM-DD.")] = None,
    licence: Annotated[str | None, typer.Option(help="open, conditions, non-commercial, code-only.")] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as code=https://...; may be repeated.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write it, if not into your own catalogue.")
    ] = None,
) -> None:
    """Add an algorithm, checked; what is not given is asked for in a terminal. No card is ever overwritten."""
    import sys

    from vitascope.catalogue.adding import add_card, card_from_answers, copy_card
    from vitascope.errors import RequestError

    if card.endswith(".toml"):
        given = [n for n, v in (("name", name), ("org", org), ("task", task), ("fact", fact)) if v]
        if given:
            raise RequestError(f"{card} says it all: leave out --{given[0]}", param=given[0])
        print(copy_card(Path(card), folder))
        return

    def asked(value: str | None, option: str, question: str) -> str:
        if value is None and sys.stdin.isatty():
            value = typer.prompt(question)
        if not value:
            raise RequestError(f"a new card needs --{option}", param=option)
        return value

    name = asked(name, "name", "Name")
    org = asked(org, "org", "Organisation")
    tasks = task or asked(None, "task", "Tasks (t2v, i2v, ...), with commas").replace(" ", "").split(",")
    source = asked(source, "source", "Source (address)")
    answers = {"name": name, "org": org, "tasks": tasks, "released": released, "licence_kind": licence}
    print(add_card(card_from_answers(card, answers, fact or [], source), folder))


@app.command("page")
def page(
    file: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    language: Annotated[str, typer.Option(help="en or zh; the page can switch.")] = "en",
) -> None:
    """Write the whole catalogue as one page that needs nothing else: search, sort, sources, timeline."""
    from vitascope.atomic import write_bytes
    from vitascope.catalogue.page import catalogue_page
    from vitascope.cli.display import page_language

    print(write_bytes(file, catalogue_page(page_language(language)).encode()))
