"""Reads runs page by page, and tells what changed between two looks.

In:  a platform. Out: runs, newest first; those that changed.
Not here: how they are printed (runs.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from oscar_events.cli import paging
from oscar_events.cli.platform import Platform
from oscar_events.execution import State

Seen = dict[str, tuple[str, int]]


def all_runs(
    platform: Platform, service: str | None = None, state: str | None = None, limit: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the runs, newest first, at most `limit` of them; in memory is one page."""

    def page(size: int, before: str | None) -> Awaitable[list[dict[str, Any]]]:
        return platform.runs(service=service, state=state, limit=size, before=before)

    return paging.newest_first(page, limit)


class Watch:
    """Remembers the state of runs. Ended ones are remembered only as long as they are among those looked at."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._seen: Seen | None = None

    async def changes(self) -> list[dict[str, Any]]:
        """Return the runs that are new or have moved since the last look, oldest first; at first those that are live.

        Looks back until a whole page holds only runs that had ended before: those never change again.
        """
        seen, found, changed = self._seen, {}, []
        fresh = 0
        async for run in all_runs(self._platform):
            here = run["state"], run["attempt"]
            found[run["id"]] = here
            is_live = not State(run["state"]).is_terminal
            has_moved = is_live if seen is None else seen.get(run["id"]) != here
            if has_moved:
                changed.append(run)
            fresh = 0 if is_live or has_moved else fresh + 1
            if fresh >= paging.PAGE:
                break
        self._seen = found
        return changed[::-1]
