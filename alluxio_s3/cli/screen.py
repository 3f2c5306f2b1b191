"""What commands print: tables for people, a document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

# Of a table that nobody looks at in a terminal.
WIDTH = 160

json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one document.")


def console() -> Console:
    """Where to print."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH)


def show_json(document: Any) -> None:
    """Print a document."""
    click.echo(json.dumps(document, indent=2))


def show_pairs(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and what they are under a title."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 2))
    for name, value in pairs:
        table.add_row(name, value)
    console().print(table)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Iterable[str] = ()) -> None:
    """Print a table; ``styles`` are those of its rows."""
    table = Table(*columns, box=None, header_style="bold")
    given = iter(styles)
    for row in rows:
        table.add_row(*row, style=next(given, None))
    console().print(table)
