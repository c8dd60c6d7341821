"""The past, asked of a running platform over HTTP.

In:  a front. Out: the protocol of journal.py.
Not here: HTTP itself and its errors (front.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from oscar_events.cli.front import Front


class FrontJournal:
    """The methods of `manager.journal.Journal`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def why(
        self, bucket: str, key: bytes, *, since: datetime, provider: str | None = None, limit: int = 10
    ) -> dict[str, Any]:
        query = {
            "bucket": bucket,
            "subject": quote(key, safe="/"),
            "since": since.isoformat(),
            "provider": provider,
            "limit": limit,
        }
        return dict(await self._front.json("GET", "/api/why", query))

    async def events(
        self,
        *,
        limit: int,
        bucket: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        query = {
            "limit": limit,
            "bucket": bucket,
            "source": source,
            "since": None if since is None else since.isoformat(),
            "after": after,
        }
        return dict(await self._front.json("GET", "/api/events", query))
