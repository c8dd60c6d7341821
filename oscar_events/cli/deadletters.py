"""The commands about dead letters: list, show, redrive, purge.

In:  ids of runs, filters. Out: tables, JSON, what became of each.
Not here: steps and rates (steps.py), what sending again is (ledger/redrive.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from oscar_events.cli import completion
from oscar_events.cli.moments import Since, optional_moment, rate
from oscar_events.cli.options import SHOWN, Data, Json, Limit, RunId, data_directory
from oscar_events.cli.paging import newest_first
from oscar_events.cli.platform import Platform, ask
from oscar_events.cli.steps import All, DryRun, Rate, Wish, carry_out, check_choice, tell_nothing_done

deadletters = typer.Typer(invoke_without_command=True)


Service = Annotated[
    str | None,
    typer.Option("--service", help="Only of this service.", show_default=False, autocompletion=completion.services),
]
Class = Annotated[
    str | None,
    typer.Option(
        "--class", help="Only of this class of failure: user, resource, infrastructure, permanent.", show_default=False
    ),
]
OneRun = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="The run's id, or the beginning of it.",
        show_default=False,
        autocompletion=completion.dead_letters,
    ),
]


@deadletters.callback()
def deadletters_without_command(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    failure: Class = None,
    since: Since = None,
    limit: Limit = None,
) -> None:
    """List, show, send again and purge the runs that were given up on. Without a command: list them."""
    if context.invoked_subcommand is None:
        list_deadletters(context, data, as_json, service, failure, since, limit)


@deadletters.command("list")
def list_deadletters(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    failure: Class = None,
    since: Since = None,
    limit: Limit = None,
) -> None:
    """List dead letters, newest first: runs given up on, neither sent again nor purged."""
    start = optional_moment(since)

    async def listing(platform: Platform) -> None:
        shown = limit if as_json else limit or SHOWN
        await _print(_all(platform, service, failure, start, shown), as_json)

    ask(data_directory(context), listing)


@deadletters.command("show")
def show_deadletter(context: typer.Context, run: RunId, data: Data = None, as_json: Json = False) -> None:
    """Show a dead letter: its event, why it was given up, the end of each attempt's log, how to send it again."""
    from oscar_events.cli import output

    found = ask(data_directory(context), lambda platform: platform.deadletters.show(run))
    if as_json:
        output.print_json(found)
        return
    event = found["event"] or {}
    output.print_facts(
        [
            ("run", found["id"]),
            ("service", found["service"]),
            ("object", f"{found['bucket']}/{found['key']}"),
            ("failure", found["failure"] or ""),
            ("reason", found["reason"]),
            ("exit code", "" if found["exit_code"] is None else str(found["exit_code"])),
            ("ended", output.moment(found["ended_at"])),
            ("event", found["event_id"]),
            ("action", event.get("action", "")),
            ("from", event.get("adapter", "")),
            ("happened", output.moment(event.get("time"))),
            ("unreadable", event.get("unreadable", "")),
            ("sent again for", found["redrive_of"] or ""),
            ("sent again as", found["redriven_as"] or ""),
            ("purged", output.moment(found["purged_at"])),
            ("to send again", _how_to(found)),
        ]
    )
    for attempt in found["attempts"]:
        reason = attempt["reason"] or "no reason told"
        output.console().print(f"\nattempt {attempt['number']}, {output.moment(attempt['ended_at'])}: {reason}")
        if attempt["log_tail"]:
            output.console().print(attempt["log_tail"].rstrip("\n"))


@deadletters.command("redrive")
def redrive_deadletters(
    context: typer.Context,
    run: OneRun = None,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    failure: Class = None,
    since: Since = None,
    everything: All = False,
    same_revision: Annotated[
        bool, typer.Option("--same-revision", help="Run the revision that failed, not the present one.")
    ] = False,
    dry_run: DryRun = False,
    per_second: Rate = None,
) -> None:
    """Send dead letters again: each becomes a new run of its service, once, however often this is repeated.

    A new run that dies is a dead letter again, and can be sent again in its turn.
    """
    start, speed = optional_moment(since), rate(per_second)
    check_choice(run, [service, failure, since], everything, "a RUN")

    wish = Wish("sent again", "dead letters", as_json, dry_run, speed, _print)

    async def redriving(platform: Platform) -> None:
        step = partial(platform.deadletters.redrive, same_revision=same_revision)
        await carry_out(wish, run, _one_or_all(platform, run, service, failure, start), step)

    ask(data_directory(context), redriving)


@deadletters.command("purge")
def purge_deadletters(
    context: typer.Context,
    run: OneRun = None,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    failure: Class = None,
    since: Since = None,
    everything: All = False,
    dry_run: DryRun = False,
    per_second: Rate = None,
) -> None:
    """Give dead letters up for good: their logs and events go; that they were there stays known."""
    start, speed = optional_moment(since), rate(per_second)
    check_choice(run, [service, failure, since], everything, "a RUN")

    wish = Wish("purged", "dead letters", as_json, dry_run, speed, _print)

    async def purging(platform: Platform) -> None:
        found = _one_or_all(platform, run, service, failure, start)
        await carry_out(wish, run, found, platform.deadletters.purge)

    ask(data_directory(context), purging)


def _all(
    platform: Platform, service: str | None, failure: str | None, since: datetime | None, limit: int | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield dead letters, newest first; in memory is one page. Those that die meanwhile are not among them."""

    def page(size: int, before: str | None) -> Awaitable[list[dict[str, Any]]]:
        return platform.deadletters.page(service=service, failure=failure, since=since, limit=size, before=before)

    return newest_first(page, limit)


async def _one_or_all(
    platform: Platform, run: str | None, service: str | None, failure: str | None, since: datetime | None
) -> AsyncIterator[dict[str, Any]]:
    if run is not None:
        yield await platform.deadletters.show(run)
        return
    async for found in _all(platform, service, failure, since, None):
        yield found


async def _print(letters: AsyncIterator[dict[str, Any]], as_json: bool, would_be: str | None = None) -> None:
    """would_be: with --dry-run, what would be done to them."""
    from oscar_events.cli import output

    if as_json:
        await output.print_json_array(letters)
        return
    rows = [
        [
            letter["id"],
            letter["service"],
            letter["failure"] or "",
            "" if letter["exit_code"] is None else str(letter["exit_code"]),
            str(letter["attempt"]),
            f"{letter['bucket']}/{letter['key']}",
            output.moment(letter["ended_at"]),
            letter["reason"],
        ]
        async for letter in letters
    ]
    columns = ["RUN", "SERVICE", "CLASS", "EXIT", "ATTEMPTS", "OBJECT", "ENDED", "REASON"]
    output.print_table(columns, rows, "No dead letters.")
    if would_be is not None:
        tell_nothing_done(len(rows), would_be)


def _how_to(letter: dict[str, Any]) -> str:
    if letter["redriven_as"]:
        return ""
    return letter["refused"] or f"oscar-events deadletters redrive {letter['id']}"
