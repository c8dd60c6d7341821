"""The command `oscar-events`: its groups, its errors.

In:  the command line. Out: an exit code (exit_codes.py) and, when something is wrong, what to do: one line, or for a
file of the user's what to change in it.
Not here: the commands themselves (a module per group beside this one).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from oscar_events.cli import buckets, deadletters, ledger, quarantine, replay, runs, services, topics
from oscar_events.cli.asyncapi import asyncapi
from oscar_events.cli.backfill import backfill
from oscar_events.cli.components import dispatcher, ingest
from oscar_events.cli.config import config as config_command
from oscar_events.cli.demo.command import demo
from oscar_events.cli.doctor import doctor
from oscar_events.cli.events import events
from oscar_events.cli.exit_codes import MEANINGS, ExitCode, exit_code
from oscar_events.cli.options import Config, Data
from oscar_events.cli.up import up
from oscar_events.cli.why import why
from oscar_events.errors import DocumentError, OscarEventsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback is for a defect, and then for a bug report: plain
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + ".",
)
app.command()(up)
app.command()(ingest)
app.command()(dispatcher)
app.command("config")(config_command)
app.command()(demo)
app.command()(services.apply)
app.add_typer(services.services, name="services")
app.add_typer(runs.runs, name="runs")
app.command()(runs.logs)
app.command()(why)
app.command()(events)
app.command()(doctor)
app.command()(asyncapi)
app.add_typer(deadletters.deadletters, name="deadletters")
app.add_typer(quarantine.quarantine, name="quarantine")
app.add_typer(replay.replay, name="replay")
app.add_typer(buckets.buckets, name="buckets")
app.command()(backfill)
app.add_typer(topics.topics, name="topics")
app.add_typer(ledger.ledger, name="ledger")


def _print_version(wanted: bool) -> None:
    if wanted:
        from oscar_events import __version__

        typer.echo(f"oscar-events {__version__}")
        raise typer.Exit


@app.callback()
def root(
    data: Data = None,
    config: Config = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Drop a file in a bucket; your program runs on it; the result appears in another bucket."""


@app.command("version")
def print_version() -> None:
    """Print the version."""
    _print_version(True)


def main() -> None:
    """Run the command line and exit."""
    try:
        _command()()
    except (OscarEventsError, OSError, BaseExceptionGroup) as error:
        expected = _expected(error)
        if expected is None:
            raise
        print(_message(expected), file=sys.stderr)  # noqa: T201 - where errors go
        sys.exit(exit_code(expected) if isinstance(expected, OscarEventsError) else ExitCode.FAILED)


def _command() -> Callable[[], object]:
    """Return the command line, its help without the type of what has no value: typer shows flags as `<bool>`."""
    command = typer.main.get_command(app)
    commands, context = [command], typer.Context(command)
    for one in commands:
        commands += getattr(one, "commands", {}).values()
        for parameter in one.get_params(context):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
    return command


def _message(error: OscarEventsError | OSError) -> str:
    """Return what is told: of a file that people wrote every mistake, with its line and fix, of others one line."""
    if isinstance(error, DocumentError) and error.report:
        return error.report
    return f"error: {' '.join(str(error).split())}"


def _expected(error: BaseException) -> OscarEventsError | OSError | None:
    """Return the error to tell of; of a group the first one, if all of them are no defects."""
    if isinstance(error, BaseExceptionGroup):
        members = [_expected(member) for member in error.exceptions]
        return None if None in members else members[0]
    return error if isinstance(error, OscarEventsError | OSError) else None
