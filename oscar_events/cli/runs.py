"""The commands about runs: the group `runs`, and `logs`.

In:  ids of runs, filters. Out: tables, live lines, JSON, raw logs.
Not here: reading page by page (listing.py), the moves of a run (execution.py).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from oscar_events.cli import completion
from oscar_events.cli.exit_codes import ExitCode
from oscar_events.cli.options import SHOWN, Data, Json, Limit, RunId, data_directory
from oscar_events.cli.platform import Platform, ask
from oscar_events.cli.why import waits_for
from oscar_events.datadir import DataDirectory
from oscar_events.execution import State

runs = typer.Typer(invoke_without_command=True)

# Two looks a second: a person sees no delay, the platform no load (a look is a few milliseconds).
_LOOK_S = 0.5

Service = Annotated[
    str | None,
    typer.Option(
        "--service", help="Only runs of this service.", show_default=False, autocompletion=completion.services
    ),
]
StateName = Annotated[
    str | None,
    typer.Option(
        "--state",
        help=f"Only runs in this state: {', '.join(State)}.",
        show_default=False,
        autocompletion=completion.states,
    ),
]


@runs.callback()
def runs_without_command(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    state: StateName = None,
    limit: Limit = None,
) -> None:
    """List, show, follow and cancel runs. Without a command: list them."""
    if context.invoked_subcommand is None:
        list_runs(context, data, as_json, service, state, limit)


@runs.command("list")
def list_runs(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    service: Service = None,
    state: StateName = None,
    limit: Limit = None,
) -> None:
    """List runs, newest first."""
    from oscar_events.cli import output
    from oscar_events.cli.listing import all_runs

    async def listing(platform: Platform) -> None:
        if as_json:
            await output.print_json_array(all_runs(platform, service, state, limit))
            return
        rows = [_row(run) async for run in all_runs(platform, service, state, limit or SHOWN)]
        columns = ["RUN", "SERVICE", "STATE", "ATTEMPT", "OBJECT", "CREATED", "TOOK", "EXIT", "REASON"]
        empty = "No runs." if rows or service is None else await _no_runs(platform, service)
        output.print_table(columns, rows, empty)

    ask(data_directory(context), listing)


async def _no_runs(platform: Platform, service: str) -> str:
    """Return what to say where no run of a service is listed: of none that ever was, that there is none."""
    names = [one["name"] for one in await platform.services()]
    if service in names or await platform.runs(service=service, limit=1):
        return "No runs."
    from oscar_events.mistakes import nearest  # late: it brings pydantic

    meant = nearest(service, names)
    return f"No runs: there is no service {service}" + (f"; did you mean {meant}?" if meant else ".")


@runs.command("show")
def show_run(context: typer.Context, run: RunId, data: Data = None, as_json: Json = False) -> None:
    """Show one run with its attempts."""
    from oscar_events.cli import output

    found = ask(data_directory(context), lambda platform: platform.run(run))
    if as_json:
        output.print_json(found)
        return
    output.print_facts(
        [
            ("run", found["id"]),
            ("service", found["service"]),
            ("state", output.state(found["state"])),
            ("reason", found["reason"]),
            ("waits", "" if found["waits"] is None else waits_for(found["waits"])),
            ("object", f"{found['bucket']}/{found['key']}"),
            ("event", found["event_id"]),
            ("created", output.moment(found["created_at"])),
            ("started", output.moment(found["started_at"])),
            ("ended", output.moment(found["ended_at"])),
            ("cancel", "requested" if found["cancel_requested"] else ""),
            ("sent again for", found["redrive_of"] or ""),
            ("sent again as", found["redriven_as"] or ""),
            ("replay", found["replay"] or ""),
            ("purged", output.moment(found["purged_at"])),
            ("outputs", "\n".join(found["outputs"])),
            ("note", found["note"]),
        ]
    )
    output.console().print()
    rows = [
        [
            str(attempt["number"]),
            attempt["outcome"] or "",
            output.moment(attempt["started_at"]),
            output.duration(attempt["started_at"], attempt["ended_at"]),
            _exit_code(attempt),
            attempt["failure"] or "",
            attempt["reason"],
        ]
        for attempt in found["attempts"]
    ]
    columns = ["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "EXIT", "FAILURE", "REASON"]
    output.print_table(columns, rows, "No attempt yet.")


@runs.command("follow")
def follow(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Default: every run.", show_default=False, autocompletion=completion.runs),
    ] = None,
    service: Service = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print a line whenever a run is seen in a new state, or any run until Ctrl-C. Short runs are seen when they ended.

    With RUN: ends when the run does, with 0 if it succeeded and 1 if not. Without, on a cluster: only the ends of runs,
    as soon as the broker tells them.
    """
    directory = data_directory(context)
    if run is None:
        asyncio.run(_follow_all(directory, service, as_json))
        return
    if service is not None:
        raise typer.BadParameter("it is for all runs; a run has one service", param_hint="--service")
    if not ask(directory, lambda platform: _follow_one(platform, run, as_json), running=not _has_ended(directory, run)):
        raise typer.Exit(ExitCode.FAILED)


@runs.command("cancel")
def cancel(context: typer.Context, run: RunId, data: Data = None, as_json: Json = False) -> None:
    """Cancel a run. A running one is asked to stop; what it published before has succeeded."""
    from oscar_events.cli import output

    found = ask(data_directory(context), lambda platform: platform.cancel(run))
    if as_json:
        output.print_json(found)
    else:
        requested = "" if found["state"] == "cancelled" else ", cancel requested"
        output.console().print(f"run {found['id']} is {found['state']}{requested}")


def logs(
    context: typer.Context,
    run: RunId,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Default: the newest.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    data: Data = None,
) -> None:
    """Print what a run's script printed, byte by byte: the beginning and the end if it is long."""

    async def printing(platform: Platform) -> None:
        if follow:
            await _follow_log(platform, run, attempt)
        else:
            _write(await platform.log(run, attempt))

    directory = data_directory(context)
    ask(directory, printing, running=follow and not _has_ended(directory, run))


def _has_ended(directory: DataDirectory, run: str) -> bool:
    """Return whether a run has ended: then it can be followed to its end without a platform."""
    from oscar_events.execution import State

    return State(ask(directory, lambda platform: platform.run(run))["state"]).is_terminal


async def _follow_all(directory: DataDirectory, service: str | None, as_json: bool) -> None:
    from oscar_events.cli.follow import moves

    async for run in moves(directory, service):
        _print_change(run, as_json)


async def _follow_one(platform: Platform, run: str, as_json: bool) -> bool:
    from oscar_events.execution import State

    before = None
    while True:
        found = await platform.run(run)
        here = found["state"], found["attempt"]
        if here != before:
            _print_change(found, as_json)
        before = here
        if State(found["state"]).is_terminal:
            return State(found["state"]) is State.SUCCEEDED
        await asyncio.sleep(_LOOK_S)


async def _follow_log(platform: Platform, run: str, attempt: int | None) -> None:
    """Print the log as it grows. Once its middle is left out, the rest is printed when it is complete.

    On a cluster it is printed when the attempt has ended, which is said.
    """
    from oscar_events.errors import NotYetError
    from oscar_events.execution import State

    found = await platform.run(run)
    number = attempt or found["attempt"]
    printed, is_told = b"", False
    while True:
        # The state first: a log read after the end is complete.
        found = await platform.run(run)
        has_ended = State(found["state"]).is_terminal or found["attempt"] > number
        try:
            log = await platform.log(run, number)
        except NotYetError:
            log = b""
            if not is_told:
                sys.stderr.write("on a cluster the log is printed when the attempt has ended; waiting for that\n")
            is_told = True
        if log.startswith(printed):
            _write(log[len(printed) :])
            printed = log
        elif has_ended:
            _write(log[_common(printed, log) :])
        if has_ended:
            return
        await asyncio.sleep(_LOOK_S)


def _common(left: bytes, right: bytes) -> int:
    """Return how many bytes both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(left), len(right)))


def _write(log: bytes) -> None:
    sys.stdout.buffer.write(log)
    sys.stdout.buffer.flush()


def _print_change(run: dict[str, Any], as_json: bool) -> None:
    import json

    from oscar_events.cli import output

    if as_json:
        sys.stdout.write(json.dumps(run, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    line = output.state(run["state"].ljust(10))
    line.append(f" {run['id']} {run['service']} attempt {run['attempt']} {run['bucket']}/{run['key']}", "default")
    if run["reason"]:
        line.append(f" ({run['reason']})", "default")
    output.console().print(line, soft_wrap=True)


def _row(run: dict[str, Any]) -> list[Any]:
    from oscar_events.cli import output

    return [
        run["id"],
        run["service"],
        output.state(run["state"]),
        str(run["attempt"]),
        f"{run['bucket']}/{run['key']}",
        output.moment(run["created_at"]),
        output.duration(run["started_at"], run["ended_at"]),
        # Of a run that waits for its next attempt, the attempt before ended with it: `runs show` has those.
        "" if State(run["state"]) is State.PENDING else _exit_code(run),
        run["reason"] or "",
    ]


def _exit_code(row: dict[str, Any]) -> str:
    return "" if row["exit_code"] is None else str(row["exit_code"])
