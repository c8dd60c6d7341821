"""The command `doctor`: what is missing or misconfigured, and what mends it.

In:  a data directory. Out: findings; exit code 1 if one of them is an error.
Not here: the checks (oscar_events/doctor/).
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import typer

from oscar_events.cli.exit_codes import ExitCode
from oscar_events.cli.options import Data, Json, data_directory

if TYPE_CHECKING:
    from oscar_events.datadir import DataDirectory
    from oscar_events.doctor.examination import FrontAnswer

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Look for what is missing or wrong, each with its remedy, whether a platform runs or not.

    Ends with 1 if something does not work, with 0 if there are only warnings.
    """
    from oscar_events.cli import output
    from oscar_events.cli.broker import quiet_client
    from oscar_events.doctor.examination import examine
    from oscar_events.doctor.finding import Level

    quiet_client()
    directory = data_directory(context)
    findings = asyncio.run(examine(directory, _front(directory)))
    if as_json:
        output.print_json([finding.view() for finding in findings])
    else:
        console = output.console()
        for finding in findings:
            console.print(
                f"{finding.level:<8} {finding.check}: {finding.what}", style=_STYLES[finding.level], soft_wrap=True
            )
            if finding.fix:
                console.print(f"         fix: {finding.fix}", soft_wrap=True)
    if any(finding.level is Level.ERROR for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _front(directory: DataDirectory) -> FrontAnswer | None:
    """Return what the platform says that holds the directory; None if nobody does."""
    from oscar_events.cli.front import Front
    from oscar_events.doctor.directory import is_held
    from oscar_events.doctor.examination import FrontAnswer
    from oscar_events.errors import ConfigurationError, UnavailableError

    if not is_held(directory):
        return None
    try:
        up = directory.read_up()
        if up is None:
            return FrontAnswer("a process holds the directory and has no front: another command, or one that starts")
        _, body = asyncio.run(Front(up).status("/readyz"))
        said = json.loads(body)
        return FrontAnswer("", said["reasons"], said.get("troubles", {}))
    except (ConfigurationError, UnavailableError) as problem:
        return FrontAnswer(str(problem))
    except (ValueError, KeyError) as strange:
        return FrontAnswer(f"what listens on port {up.port if up else 0} is no platform: {strange}")
