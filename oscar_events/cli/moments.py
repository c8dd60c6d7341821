"""Times and rates as people write them on a command line.

In:  text. Out: a time, a rate; ConfigurationError with the accepted forms.
Not here: times as scripts get them (codec.iso), how the reader's clock shows them (output.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from oscar_events.errors import ConfigurationError

_AGO = re.compile(r"(\d{1,6})\s*([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_RATE = re.compile(r"(\d{1,6})(?:/s)?", re.ASCII)

FORMS = "a time like 2026-11-21T12:00 (of this machine's zone, unless it names one), or an age like 90s, 30m, 2h, 1d"

Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help=f"Only since then: {FORMS}.", show_default=False)
]


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the time that text means: an ISO 8601 time, or so long ago. now: for ages, else the present."""
    if age := _AGO.fullmatch(text.strip()):
        try:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        except OverflowError:
            raise ConfigurationError(f"{text!r} is before all time; write {FORMS}") from None
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{text!r} is no time; write {FORMS}") from None


def optional_moment(text: str | None) -> datetime | None:
    """Return the time that text means, None for none."""
    return None if text is None else moment(text)


def rate(text: str | None) -> int | None:
    """Return how many a second text means, None for as fast as it goes."""
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ConfigurationError(f"{text!r} is no rate; write how many a second, like 10 or 10/s")
    return int(match[1])
