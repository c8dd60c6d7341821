"""How answers look: tables for people, JSON for scripts.

In:  the platform's JSON values. Out: text on standard output.
Not here: fetching them (platform.py), errors (app.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# A pipe has no width; this keeps a line per run whole without padding it to no end.
_PIPE_WIDTH = 200
_STYLES = {"succeeded": "green", "dead": "bold red", "cancelled": "yellow", "running": "cyan"}


def console(stderr: bool = False) -> Console:
    """Return a console for people. Colours only on a terminal (rich obeys NO_COLOR); names are data, never markup."""
    found = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    return (
        found
        if found.is_terminal
        else Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=_PIPE_WIDTH)
    )


def print_json(value: object) -> None:
    """Print one JSON value, indented."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


async def print_json_array(values: AsyncIterator[Mapping[str, Any]]) -> None:
    """Print a JSON array while its elements come in, one per line: there may be a million."""
    separator = "[\n"
    async for value in values:
        sys.stdout.write(separator + json.dumps(value, ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str | Text]], empty: str) -> None:
    """Print a table, a line per row however long, or the sentence `empty` if it has no rows.

    Nothing is cut off to fit a narrow terminal: ids are there to be copied, and the terminal breaks lines itself.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    out = console()
    if not cells:
        out.print(empty)
        return
    table = [[Text(name, "bold") for name in columns], *cells]
    widths = [max(cell.cell_len for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        for cell, width in zip(row[:-1], widths, strict=False):  # the last one ends the line
            cell.append(" " * (width - cell.cell_len))
        out.print(Text("  ", end="").join(row), soft_wrap=True)


def _one_line(cell: str | Text) -> Text:
    return Text(" ".join(cell.splitlines())) if isinstance(cell, str) else cell


def print_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Print names and values below each other; what is empty is left out."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value:
            table.add_row(Text(name, "bold"), value)
    console().print(table)


def state(name: str) -> Text:
    """Return a run's state in its colour."""
    return Text(name, _STYLES.get(name, ""))


def moment(iso: str | None) -> str:
    """Return a time as the reader's clock shows it; empty for none."""
    return "" if iso is None else datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(start: str | None, end: str | None) -> str:
    """Return the time between two times, in seconds; empty unless both are known."""
    if start is None or end is None:
        return ""
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.2f} s"
