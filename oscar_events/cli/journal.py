"""The past, as commands see it: why an object did or did not run, which events there were.

In:  nothing. Out: the protocol that the manager's journal and the front's client both keep.
Not here: what is answered (manager/journal.py), HTTP (journal_client.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class Journal(Protocol):
    """See manager/journal.py, which is one."""

    async def why(
        self, bucket: str, key: bytes, *, since: datetime, provider: str | None = None, limit: int = 10
    ) -> dict[str, Any]: ...
    async def events(
        self,
        *,
        limit: int,
        bucket: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
    ) -> dict[str, Any]: ...
