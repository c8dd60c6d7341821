"""What can be sent again, asked of a running platform over HTTP.

In:  a front. Out: the protocols of again.py.
Not here: HTTP itself and its errors (front.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from oscar_events.cli.front import Front


class FrontDeadLetters:
    """The methods of `manager.deadletters.DeadLetters`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def page(
        self,
        *,
        service: str | None = None,
        failure: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        query = {"service": service, "failure": failure, "since": _iso(since), "limit": limit, "before": before}
        return list(await self._front.json("GET", "/api/deadletters", query))

    async def show(self, run: str) -> dict[str, Any]:
        return dict(await self._front.json("GET", f"/api/deadletters/{quote(run, safe='')}"))

    async def redrive(self, ids: Sequence[str], *, same_revision: bool = False) -> list[dict[str, Any]]:
        body = _body({"runs": list(ids), "same_revision": same_revision})
        return list(await self._front.json("POST", "/api/deadletters/redrive", body=body))

    async def purge(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return list(await self._front.json("POST", "/api/deadletters/purge", body=_body({"runs": list(ids)})))


class FrontQuarantine:
    """The methods of `manager.quarantine.Quarantine`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def page(
        self,
        *,
        source: str | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        settled_too: bool = False,
        limit: int | None = None,
        at: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Any]:
        query = {
            "source": source,
            "reason": reason,
            "since": _iso(since),
            "settled_too": settled_too,
            "limit": limit,
            "at": None if at is None else json.dumps(at),
        }
        return dict(await self._front.json("GET", "/api/quarantine", query))

    async def show(self, record: str) -> dict[str, Any]:
        return dict(await self._front.json("GET", f"/api/quarantine/{quote(record, safe='')}"))

    async def body(self, record: str) -> bytes:
        return await self._front.ask("GET", f"/api/quarantine/{quote(record, safe='')}/body")

    async def redrive(self, records: Sequence[str]) -> list[dict[str, Any]]:
        return list(await self._front.json("POST", "/api/quarantine/redrive", body=_body({"records": list(records)})))

    async def purge(self, records: Sequence[str]) -> list[dict[str, Any]]:
        return list(await self._front.json("POST", "/api/quarantine/purge", body=_body({"records": list(records)})))


class FrontBackfills:
    """The methods of `manager.backfill.Backfills`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def begin(
        self,
        service: str,
        *,
        prefix: str = "",
        since: datetime | None = None,
        as_new: bool = False,
        dry_run: bool = False,
        resume: str | None = None,
    ) -> dict[str, Any]:
        body = {
            "service": service,
            "prefix": prefix,
            "since": _iso(since),
            "as_new": as_new,
            "dry_run": dry_run,
            "resume": resume,
        }
        return dict(await self._front.json("POST", "/api/backfills", body=_body(body)))

    async def advance(self, backfill: str, most: int) -> dict[str, Any]:
        path = f"/api/backfills/{quote(backfill, safe='')}/advance"
        return dict(await self._front.json("POST", path, body=_body({"most": most})))


class FrontReplays:
    """The methods of `manager.replays.Replays`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def begin(self, service: str, start: datetime, end: datetime, *, as_new: bool = False) -> dict[str, Any]:
        body = {"service": service, "start": start.isoformat(), "end": end.isoformat(), "as_new": as_new}
        return dict(await self._front.json("POST", "/api/replays", body=_body(body)))

    async def preview(
        self,
        service: str,
        start: datetime,
        end: datetime,
        *,
        as_new: bool = False,
        at: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Any]:
        body = {"service": service, "start": start.isoformat(), "end": end.isoformat(), "as_new": as_new, "at": at}
        return dict(await self._front.json("POST", "/api/replays/preview", body=_body(body)))

    async def advance(self, replay: str) -> dict[str, Any]:
        return dict(await self._front.json("POST", f"/api/replays/{quote(replay, safe='')}/advance"))

    async def page(self, limit: int | None = None) -> list[dict[str, Any]]:
        return list(await self._front.json("GET", "/api/replays", {"limit": limit}))

    async def show(self, replay: str) -> dict[str, Any]:
        return dict(await self._front.json("GET", f"/api/replays/{quote(replay, safe='')}"))

    async def unfinished(self) -> list[str]:
        return list(await self._front.json("GET", "/api/replays/unfinished"))


def _body(document: object) -> bytes:
    return json.dumps(document).encode()


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
