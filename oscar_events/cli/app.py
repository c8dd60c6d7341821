"""The command `oscar-events`: its groups, its errors.

In:  the command line. Out: an exit code (exit_codes.py) and, when something is wrong, one line that says what to do.
Not here: the commands themselves (a module per group beside this one).
"""

from __future__ import annotations

import sys

import typer

from oscar_events.cli import runs, services
from oscar_events.cli.demo.command import demo
from oscar_events.cli.exit_codes import MEANINGS, ExitCode, exit_code
from oscar_events.cli.options import Data
from oscar_events.cli.up import up
from oscar_events.errors import OscarEventsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback is for a defect, and then for a bug report: plain
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + ".",
)
app.command()(up)
app.command()(demo)
app.command()(services.apply)
app.add_typer(services.services, name="services")
app.add_typer(runs.runs, name="runs")
app.command()(runs.logs)


@app.callback()
def root(data: Data = None) -> None:
    """Drop a file in a bucket; your program runs on it; the result appears in another bucket."""


@app.command()
def version() -> None:
    """Print the version."""
    from oscar_events import __version__

    typer.echo(f"oscar-events {__version__}")


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except (OscarEventsError, OSError, BaseExceptionGroup) as error:
        expected = _expected(error)
        if expected is None:
            raise
        print(f"error: {' '.join(str(expected).split())}", file=sys.stderr)  # noqa: T201 - where errors go
        sys.exit(exit_code(expected) if isinstance(expected, OscarEventsError) else ExitCode.FAILED)


def _expected(error: BaseException) -> OscarEventsError | OSError | None:
    """Return the error to tell of; of a group the first one, if all of them are no defects."""
    if isinstance(error, BaseExceptionGroup):
        members = [_expected(member) for member in error.exceptions]
        return None if None in members else members[0]
    return error if isinstance(error, OscarEventsError | OSError) else None
