"""What the shell offers when a person presses Tab: names of services, ids of runs, dead letters, states.

In:  the command line so far. Out: what may stand there; nothing, and no message, if no platform answers at once.
Not here: commands and options, which typer completes itself; installing it (`--install-completion`).

Only the front is asked: opening the files would lock them, and would take longer than a person waits.
"""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from oscar_events.execution import State

# A person who pressed Tab waits; the front answers in milliseconds, or is busy.
_PATIENCE_S = 1.0
# Of ids, the newest are asked for by hand.
_NEWEST = 100


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Return the services whose names begin so."""
    return _beginning(incomplete, [one["name"] for one in _asked(context, "/api/services", {})])


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Return the newest runs whose ids begin so."""
    return _beginning(incomplete, [one["id"] for one in _asked(context, "/api/runs", {"limit": _NEWEST})])


def dead_letters(context: typer.Context, incomplete: str) -> list[str]:
    """Return the newest dead letters whose ids begin so."""
    return _beginning(incomplete, [one["id"] for one in _asked(context, "/api/deadletters", {"limit": _NEWEST})])


def states(incomplete: str) -> list[str]:
    """Return the states that begin so."""
    return _beginning(incomplete, [state.value for state in State])


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _asked(context: typer.Context, path: str, query: dict[str, object]) -> list[dict[str, Any]]:
    # Late: options.py uses this module.
    from oscar_events.cli.front import Front
    from oscar_events.cli.options import data_directory
    from oscar_events.errors import OscarEventsError

    try:
        up = data_directory(context).read_up()
        return [] if up is None else list(asyncio.run(Front(up, _PATIENCE_S).json("GET", path, query)))
    except (OscarEventsError, OSError):
        return []
