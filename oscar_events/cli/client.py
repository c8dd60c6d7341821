"""A running platform, asked through its HTTP front.

In:  where it is found (up.json). Out: the answers of its `Control`.
Not here: HTTP itself and its errors (front.py), which road a command takes (platform.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from oscar_events.cli.again import Backfills, DeadLetters, Quarantine, Replays
from oscar_events.cli.again_client import FrontBackfills, FrontDeadLetters, FrontQuarantine, FrontReplays
from oscar_events.cli.front import Front
from oscar_events.cli.journal import Journal
from oscar_events.cli.journal_client import FrontJournal
from oscar_events.datadir import Up


class FrontClient:
    """The methods of `Control`, over HTTP; they raise what it raises, and UnavailableError if nobody answers."""

    def __init__(self, up: Up) -> None:
        self._front = Front(up)
        self.deadletters: DeadLetters = FrontDeadLetters(self._front)
        self.quarantine: Quarantine = FrontQuarantine(self._front)
        self.replays: Replays = FrontReplays(self._front)
        self.backfills: Backfills = FrontBackfills(self._front)
        self.journal: Journal = FrontJournal(self._front)

    async def is_there(self) -> bool:
        """Return whether the front answers at all."""
        return await self._front.is_fine("/livez")

    async def is_ready(self) -> bool:
        """Return whether every component of the platform is ready."""
        return await self._front.is_fine("/readyz")

    async def apply(
        self, documents: Sequence[Mapping[str, Any]], remarks: Mapping[str, Sequence[str]] | None = None
    ) -> list[dict[str, Any]]:
        wish = {"services": list(documents), "remarks": remarks or {}}
        return list(await self._front.json("POST", "/api/services", body=json.dumps(wish).encode()))

    async def services(self) -> list[dict[str, Any]]:
        return list(await self._front.json("GET", "/api/services"))

    async def service(self, name: str) -> dict[str, Any]:
        return dict(await self._front.json("GET", f"/api/services/{quote(name, safe='')}"))

    async def delete_service(self, name: str, *, kill: bool = False) -> dict[str, Any]:
        query = {"kill": True} if kill else {}
        return dict(await self._front.json("DELETE", f"/api/services/{quote(name, safe='')}", query))

    async def runs(
        self,
        *,
        service: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        query = {"service": service, "state": state, "limit": limit, "before": before}
        return list(await self._front.json("GET", "/api/runs", query))

    async def run(self, run: str) -> dict[str, Any]:
        return dict(await self._front.json("GET", f"/api/runs/{quote(run, safe='')}"))

    async def cancel(self, run: str) -> dict[str, Any]:
        return dict(await self._front.json("POST", f"/api/runs/{quote(run, safe='')}/cancel"))

    async def log(self, run: str, attempt: int | None = None) -> bytes:
        return await self._front.ask("GET", f"/api/runs/{quote(run, safe='')}/log", {"attempt": attempt})
