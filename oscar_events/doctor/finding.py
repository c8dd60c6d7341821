"""What the doctor says of one thing it looked at.

In:  nothing. Out: `Finding`.
Not here: the looking (the modules beside this), printing (cli/doctor.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """ERROR: something does not work. WARNING: it works, and somebody should look. OK: looked at, nothing found."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """check: what was looked at. what: what was found. fix: what mends it, empty if there is nothing to mend."""

    check: str
    level: Level
    what: str
    fix: str = ""

    def view(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"check": self.check, "level": self.level.value, "what": self.what, "fix": self.fix}


def ok(check: str, what: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(check, Level.OK, what)


def warning(check: str, what: str, fix: str) -> Finding:
    """Return that somebody should look."""
    return Finding(check, Level.WARNING, what, fix)


def error(check: str, what: str, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(check, Level.ERROR, what, fix)
