"""The command `replay`: events of a time range, once more for one service.

In:  a service, a range. Out: progress, counts, JSON.
Not here: reading and claiming (manager/replays.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from oscar_events.cli import completion
from oscar_events.cli.moments import FORMS, moment
from oscar_events.cli.options import SHOWN, Data, Json, data_directory
from oscar_events.cli.platform import Platform, ask
from oscar_events.cli.steps import DryRun
from oscar_events.errors import ConfigurationError

replay = typer.Typer(invoke_without_command=True)

ReplayId = Annotated[
    str | None, typer.Argument(metavar="ID", help="Default: every unfinished one.", show_default=False)
]


@replay.callback()
def begin_replay(
    context: typer.Context,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help=f"Since when: {FORMS}.", show_default=False)
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Until when. Default: now.", show_default=False)
    ] = None,
    service: Annotated[
        str | None,
        typer.Option("--service", help="For whom.", show_default=False, autocompletion=completion.services),
    ] = None,
    as_new: Annotated[
        bool,
        typer.Option(
            "--as-new",
            help="Run what ran before once more, except what is about to run anyway. Default: only what has no run.",
        ),
    ] = False,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Match the events of a time range, as the platform saw them, with a service as it is now; start what is missing.

    Without --from and --service: list the replays.

    The range is read from the platform's log, which holds a week. A replay that was begun is finished, also if this
    command is stopped: by the platform that runs or the next that starts, or by `replay resume`.

    With --dry-run an event that was told twice may be counted twice; it never runs twice.
    """
    if context.invoked_subcommand is not None:
        return
    if start is None and end is None and service is None and not as_new and not dry_run:
        list_replays(context, data, as_json)
        return
    if start is None or service is None:
        raise ConfigurationError("name --from TIME and --service SERVICE; `replay list` shows the replays there are")
    now = datetime.now(UTC)
    begins, ends = moment(start, now), moment(end, now) if end is not None else now

    async def replaying(platform: Platform) -> None:
        if dry_run:
            _tell_preview(await _preview(platform, service, begins, ends, as_new), as_json)
            return
        begun = await platform.replays.begin(service, begins, ends, as_new=as_new)
        await _follow(platform, begun, as_json)

    ask(data_directory(context), replaying)


@replay.command("list")
def list_replays(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """List replays, newest first."""
    from oscar_events.cli import output

    found = ask(data_directory(context), lambda platform: platform.replays.page(None if as_json else SHOWN))
    if as_json:
        output.print_json(found)
        return
    rows = [
        [
            one["id"],
            one["service"],
            "as new" if one["as_new"] else "",
            output.moment(one["from"]),
            output.moment(one["to"]),
            f"{one['left']} left" if one["ended_at"] is None else "ended",
            str(one["matched"]),
            str(one["made"]),
            one["reason"],
        ]
        for one in found
    ]
    columns = ["REPLAY", "SERVICE", "KIND", "FROM", "TO", "STATE", "MATCHED", "NEW RUNS", "REMARK"]
    output.print_table(columns, rows, "No replays.")


@replay.command("resume")
def resume_replays(context: typer.Context, identity: ReplayId = None, data: Data = None, as_json: Json = False) -> None:
    """Bring replays that were left unfinished to their end, and show how far they are."""

    async def resuming(platform: Platform) -> None:
        for one in [identity] if identity is not None else await platform.replays.unfinished():
            await _follow(platform, await platform.replays.show(one), as_json)

    ask(data_directory(context), resuming)


async def _follow(platform: Platform, found: dict[str, Any], as_json: bool) -> None:
    """Bring a replay to its end, or see the platform do it; tell how far it is on standard error."""
    from oscar_events.cli import output

    console = output.console(stderr=True)
    if found["reason"] and found["ended_at"] is None:
        console.print(f"replay {found['id']}: {found['reason']}", soft_wrap=True)
    total = found["read"] + found["left"]
    try:
        with console.status("") as status:  # on a terminal only
            while found["ended_at"] is None:
                status.update(
                    f"replay {found['id']}: {found['left']} of {total} records left, {found['made']} new runs"
                )
                found = await platform.replays.advance(found["id"])
    except asyncio.CancelledError:  # Ctrl-C
        console.print(
            f"replay {found['id']} is not lost: the platform finishes it, the next one if none runs; "
            f"`oscar-events replay resume {found['id']}` follows it",
            soft_wrap=True,
        )
        raise
    if as_json:
        output.print_json(found)
        return
    output.console().print(f"replay {found['id']}: {_sum(found)}", soft_wrap=True)
    if found["reason"]:
        console.print(f"replay {found['id']}: {found['reason']}", soft_wrap=True)


async def _preview(platform: Platform, service: str, start: datetime, end: datetime, as_new: bool) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    reason, at = "", None
    while at is None or at:
        found = await platform.replays.preview(service, start, end, as_new=as_new, at=at)
        counts.update({name: found[name] for name in ("read", "matched", "made", "there")})
        reason, at = reason or found["reason"], found["at"]
    return {**counts, "reason": reason}


def _tell_preview(found: dict[str, Any], as_json: bool) -> None:
    from oscar_events.cli import output

    if as_json:
        output.print_json(found)
        return
    output.console().print(f"nothing was done; it would be: {_sum(found)}", soft_wrap=True)
    if found["reason"]:
        output.console(stderr=True).print(found["reason"], soft_wrap=True)


def _sum(found: dict[str, Any]) -> str:
    return (
        f"{found['read']} events in the range, {found['matched']} for the service, {found['made']} new runs, "
        f"{found['there']} had theirs already"
    )
