"""The commands about the quarantine: list, show, redrive, purge.

In:  ids of records, filters. Out: tables, JSON, a record's bytes, what became of each.
Not here: steps and rates (steps.py), what is kept of a record (oscar_events/quarantine.py).
"""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import typer

from oscar_events.cli.moments import Since, optional_moment, rate
from oscar_events.cli.options import SHOWN, Data, Json, Limit, data_directory
from oscar_events.cli.paging import PAGE
from oscar_events.cli.platform import Platform, ask
from oscar_events.cli.steps import All, DryRun, Rate, Wish, carry_out, check_choice, tell_nothing_done

quarantine = typer.Typer(invoke_without_command=True)

_HEX_WIDTH = 16

Source = Annotated[str | None, typer.Option("--source", help="Only from this source.", show_default=False)]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Only with this in the reason.", show_default=False)
]
SettledToo = Annotated[bool, typer.Option("--all", help="Those sent again and purged too.")]
RecordId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it, like 0-12.", show_default=False)]
OneRecord = Annotated[
    str | None, typer.Argument(metavar="ID", help="As `list` shows it, like 0-12.", show_default=False)
]


@quarantine.callback()
def quarantine_without_command(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    source: Source = None,
    reason: Reason = None,
    since: Since = None,
    settled_too: SettledToo = False,
    limit: Limit = None,
) -> None:
    """List, show, send again and purge what came in but was no usable event. Without a command: list it."""
    if context.invoked_subcommand is None:
        list_quarantine(context, data, as_json, source, reason, since, settled_too, limit)


@quarantine.command("list")
def list_quarantine(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    source: Source = None,
    reason: Reason = None,
    since: Since = None,
    settled_too: SettledToo = False,
    limit: Limit = None,
) -> None:
    """List what is in the quarantine, newest first."""
    start = optional_moment(since)

    async def listing(platform: Platform) -> None:
        shown = limit if as_json else limit or SHOWN
        await _print(_all(platform, source, reason, start, settled_too=settled_too, limit=shown), as_json)

    ask(data_directory(context), listing)


@quarantine.command("show")
def show_record(
    context: typer.Context,
    record: RecordId,
    data: Data = None,
    as_json: Json = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes as they came in, and nothing else.")] = False,
) -> None:
    """Show a record: where it came from, why it was refused, its headers, its bytes."""
    from oscar_events.cli import output

    async def asking(platform: Platform) -> tuple[dict[str, Any], bytes]:
        return await platform.quarantine.show(record), await platform.quarantine.body(record)

    found, body = ask(data_directory(context), asking)
    if raw:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    elif as_json:
        output.print_json({**found, "body_base64": base64.b64encode(body).decode("ascii")})
    else:
        output.print_facts(
            [
                ("record", found["id"]),
                ("source", found["source"]),
                ("reason", found["reason"]),
                ("refused", output.moment(found["time"])),
                ("length", _length(found)),
                ("sha256", found["sha256"]),
                ("settled", found["settled"] or ""),
                ("headers", "\n".join(f"{name}: {value}" for name, value in found["headers"].items())),
            ]
        )
        sys.stdout.write(f"\n{readable(body)}\n")


@quarantine.command("redrive")
def redrive_records(
    context: typer.Context,
    record: OneRecord = None,
    data: Data = None,
    as_json: Json = False,
    source: Source = None,
    reason: Reason = None,
    since: Since = None,
    everything: All = False,
    dry_run: DryRun = False,
    per_second: Rate = None,
) -> None:
    """Send records again, by their source as it is configured now; what is refused again stays.

    However often this is repeated, each gives its events once.
    """
    start, speed = optional_moment(since), rate(per_second)
    check_choice(record, [source, reason, since], everything, "an ID")

    wish = Wish("sent again", "quarantine", as_json, dry_run, speed, _print)

    async def redriving(platform: Platform) -> None:
        found = _one_or_all(platform, record, source, reason, start)
        await carry_out(wish, record, found, platform.quarantine.redrive)

    ask(data_directory(context), redriving)


@quarantine.command("purge")
def purge_records(
    context: typer.Context,
    record: OneRecord = None,
    data: Data = None,
    as_json: Json = False,
    source: Source = None,
    reason: Reason = None,
    since: Since = None,
    everything: All = False,
    dry_run: DryRun = False,
    per_second: Rate = None,
) -> None:
    """Settle records that nobody wants: they are listed no more.

    Their bytes stay in the platform's log until its retention (7 days) removes them: what is in a log is not changed.
    """
    start, speed = optional_moment(since), rate(per_second)
    check_choice(record, [source, reason, since], everything, "an ID")

    wish = Wish("purged", "quarantine", as_json, dry_run, speed, _print)

    async def purging(platform: Platform) -> None:
        found = _one_or_all(platform, record, source, reason, start)
        await carry_out(wish, record, found, platform.quarantine.purge)

    ask(data_directory(context), purging)


def readable(body: bytes) -> str:
    """Return bytes as a terminal can show them: text as it is, else offset, hexadecimal and ASCII."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _hexdump(body)
    return text if all(letter.isprintable() or letter in "\n\r\t" for letter in text) else _hexdump(body)


def _hexdump(body: bytes) -> str:
    lines = []
    for start in range(0, len(body), _HEX_WIDTH):
        some = body[start : start + _HEX_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        lines.append(f"{start:08x}  {some.hex(' '):<{3 * _HEX_WIDTH}} {text}")
    return "\n".join(lines)


async def _all(
    platform: Platform,
    source: str | None,
    reason: str | None,
    since: datetime | None,
    *,
    settled_too: bool = False,
    limit: int | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Yield records, newest first; in memory is one page. Those that come in meanwhile are not among them."""
    at, left = None, limit
    while left is None or left > 0:
        page = await platform.quarantine.page(
            source=source,
            reason=reason,
            since=since,
            settled_too=settled_too,
            limit=PAGE if left is None else min(PAGE, left),
            at=at,
        )
        for record in page["records"]:
            yield record
        at = page["at"]
        if not at:
            return
        left = None if left is None else left - len(page["records"])


async def _one_or_all(
    platform: Platform, record: str | None, source: str | None, reason: str | None, since: datetime | None
) -> AsyncIterator[dict[str, Any]]:
    if record is not None:
        yield await platform.quarantine.show(record)
        return
    async for found in _all(platform, source, reason, since):
        yield found


async def _print(records: AsyncIterator[dict[str, Any]], as_json: bool, would_be: str | None = None) -> None:
    """would_be: with --dry-run, what would be done to them."""
    from oscar_events.cli import output

    if as_json:
        await output.print_json_array(records)
        return
    rows = [
        [
            record["id"],
            record["source"],
            output.moment(record["time"]),
            _length(record),
            record["settled"] or "",
            record["reason"],
        ]
        async for record in records
    ]
    output.print_table(["ID", "SOURCE", "REFUSED", "LENGTH", "SETTLED", "REASON"], rows, "Nothing in quarantine.")
    if would_be is not None:
        tell_nothing_done(len(rows), would_be)


def _length(record: dict[str, Any]) -> str:
    cut = f", the first {record['kept']} kept" if record["kept"] < record["length"] else ""
    return f"{record['length']} bytes{cut}"
