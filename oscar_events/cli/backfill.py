"""The command `backfill`: what was in a service's inputs before anybody could tell of it.

In:  a service, which of its objects. Out: progress, counts, JSON.
Not here: listing and claiming (manager/backfill.py).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from oscar_events.cli import completion
from oscar_events.cli.moments import Since, optional_moment, rate
from oscar_events.cli.options import Data, Json, data_directory
from oscar_events.cli.platform import Platform, ask
from oscar_events.cli.steps import DryRun, Rate

# One step of the platform: it claims no more at a time.
_STEP = 256


def backfill(
    context: typer.Context,
    service: Annotated[
        str,
        typer.Argument(metavar="SERVICE", help="For whom.", autocompletion=completion.services, show_default=False),
    ],
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix", metavar="KEY", help="Only keys that begin so, from the bucket on.", show_default=False
        ),
    ] = "",
    since: Since = None,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Run what ran before once more. Default: only what has no run.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="ID", help="Go on with a backfill --as-new that was stopped.", show_default=False
        ),
    ] = None,
    dry_run: DryRun = False,
    per_second: Rate = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the inputs of a service once, and run it for every object there, however old, that it has not run for.

    Stopped, it goes on when the same command is given again: nothing runs twice. With --as-new it is the id it told
    that makes it go on.
    """
    start, speed = optional_moment(since), rate(per_second)

    async def filling(platform: Platform) -> None:
        begun = await platform.backfills.begin(
            service, prefix=prefix, since=start, as_new=as_new, dry_run=dry_run, resume=resume
        )
        await _follow(platform, begun, speed, as_json)

    ask(data_directory(context), filling)


async def _follow(platform: Platform, found: dict[str, Any], per_second: int | None, as_json: bool) -> None:
    from oscar_events.cli import output

    console = output.console(stderr=True)
    if found["as_new"] and not found["dry_run"]:
        console.print(
            f"backfill {found['id']}; if it is stopped, the same with --resume {found['id']} goes on", soft_wrap=True
        )
    with console.status("") as status:  # on a terminal only
        while not found["ended"]:
            before = found["made"]
            found = await platform.backfills.advance(found["id"], min(_STEP, per_second or _STEP))
            status.update(f"{found['listed']} objects listed, {found['made']} new runs")
            if per_second is not None and not found["ended"]:
                await asyncio.sleep((found["made"] - before) / per_second)
    if as_json:
        output.print_json(found)
        return
    for refused in found["refused"]:
        console.print(f"cannot be run: {refused}", soft_wrap=True)
    output.console().print(_sum(found), soft_wrap=True)


def _sum(found: dict[str, Any]) -> str:
    counts = (
        f"{found['listed']} objects in the inputs, {found['matched']} for the service, {found['made']} new runs, "
        f"{found['there']} had theirs already"
    )
    return f"nothing was done; it would be: {counts}" if found["dry_run"] else counts
