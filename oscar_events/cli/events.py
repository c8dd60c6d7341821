"""The command `events`: the newest events on the bus, and what each started.

In:  filters. Out: a line per event, or JSON; with --follow until Ctrl-C, one object per line.
Not here: going through the log (manager/event_log.py).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from oscar_events.cli.moments import Since, optional_moment
from oscar_events.cli.options import SHOWN, Data, Json, data_directory
from oscar_events.cli.paging import PAGE
from oscar_events.cli.platform import Platform, ask

# As `runs follow`: a person sees no delay, the platform no load.
_LOOK_S = 0.5
# Events whose next telling is not printed again: MinIO's second target comes seconds later, at some 100 a second.
_REMEMBERED = 1000


def events(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones, until Ctrl-C.")] = False,
    since: Since = None,
    bucket: Annotated[str | None, typer.Option("--bucket", help="Only of this bucket.", show_default=False)] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Only those that came in by this source.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE, help="At most so many, the newest.")] = SHOWN,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the newest events, oldest first: when each was seen, by which source, and the runs it started.

    With --follow --json: one JSON object per line.
    """
    from oscar_events.cli import output

    earliest = optional_moment(since)

    async def listing(platform: Platform) -> None:
        journal = platform.journal
        page = await journal.events(limit=limit, bucket=bucket, source=source, since=earliest)
        if page["is_cut"]:
            sys.stderr.write("there may be more that match, further back; name a later --since to look through less\n")
        if not follow and as_json:
            output.print_json(page["events"])
            return
        if not follow and not page["events"]:
            sys.stdout.write("No events.\n")
        printed: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        while True:
            for row, count in _folded(page["events"], printed, as_json=as_json):
                _print(row, count, as_json)
            sys.stdout.flush()
            if not follow:
                return
            here = page["next"]
            page = await journal.events(limit=PAGE, bucket=bucket, source=source, after=here)
            if page["next"] == here:  # not: no event that is wanted, as there may be many others to get through
                await asyncio.sleep(_LOOK_S)

    ask(data_directory(context), listing, running=follow)


def _folded(
    rows: Sequence[dict[str, Any]], printed: deque[tuple[str, str]], *, as_json: bool
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the rows, each with how often its source told it; what is in `printed` already is not said again.

    For scripts each telling is a row of its own, as it is a record of the log.
    """
    count = Counter(_name(row) for row in rows)
    for row in rows:
        name = _name(row)
        if as_json or row["id"] is None:
            yield row, 1
        elif name not in printed:
            printed.append(name)
            yield row, count[name]


def _name(row: dict[str, Any]) -> tuple[str, str]:
    return row["id"], row["source"]


def _print(row: dict[str, Any], count: int, as_json: bool) -> None:
    sys.stdout.write((json.dumps(row, ensure_ascii=False) if as_json else line(row, count)) + "\n")


def line(row: dict[str, Any], count: int = 1) -> str:
    """Return an event as people read it. count: how often its source told it."""
    from oscar_events.cli import output
    from oscar_events.cli.why import repeated

    when = output.moment(row["recorded"])
    if row["unreadable"]:
        return f"{when}  unreadable, in quarantine: {row['unreadable']}"
    size = "" if row["size"] is None else f"  {row['size']} bytes"
    what = f"{row['source']:<10} {row['action']:<8} {row['bucket']}/{row['key']}{size}"
    return f"{when}  {what}  {_started(row)}{repeated(count)}"


def _started(row: dict[str, Any]) -> str:
    if runs := row["runs"]:
        return ", ".join(f"{run['service']} {run['state']} ({run['id']})" for run in runs)
    return "waiting" if row["is_waiting"] else "no service"
