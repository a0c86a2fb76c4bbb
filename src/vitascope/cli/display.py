"""How commands show progress and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from vitascope.context import Progress


def page_language(text: str) -> Literal["en", "zh"]:
    """The language of a page, as a flag names it. Raises: UnknownName."""
    from vitascope.errors import UnknownName

    if text == "en":
        return "en"
    if text == "zh":
        return "zh"
    raise UnknownName("language", text, ["en", "zh"], param="language")


def print_json(data: Any) -> None:
    """Write `data` to standard output for a script."""
    print(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Write a table to standard output; wide cells wrap."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0)  # the first is a name, which is typed as it stands
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A bar with the stage, the steps and the time left on standard error; gives the listener to call."""
    if quiet:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        shown: dict[str, Any] = {}

        def listen(progress: Progress) -> None:
            if progress.stage not in shown:
                shown[progress.stage] = bars.add_task(progress.stage, total=progress.total or None)
            bars.update(shown[progress.stage], completed=progress.step, total=progress.total or None)

        yield listen
