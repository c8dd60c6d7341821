"""The exit codes of the command line, and which error becomes which.

In:  an error. Out: a code that scripts may rely on.
Not here: the message (app.py).
"""

from __future__ import annotations

from enum import IntEnum

from oscar_events.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    OscarEventsError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """What the end of a command means. The numbers are part of the interface."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 5
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed, or the run did not succeed",
    ExitCode.USAGE: "wrong command line, file or directory",
    ExitCode.NOT_FOUND: "no such service, run or record",
    ExitCode.CONFLICT: "contradicts what is there, like cancelling what has ended",
    ExitCode.UNAVAILABLE: "in use or not running, try again later",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}

_CODES: tuple[tuple[type[OscarEventsError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ConflictError, ExitCode.CONFLICT),
    (UnavailableError, ExitCode.UNAVAILABLE),
)


def exit_code(error: OscarEventsError) -> ExitCode:
    """Return the code a command ends with that failed for this error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
