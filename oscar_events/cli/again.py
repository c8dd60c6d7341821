"""What can be sent again, as commands see it: dead letters, the quarantine, replays, backfills.

In:  nothing. Out: the protocols that the manager's parts and the front's clients both keep.
Not here: what is answered (manager/), HTTP (again_client.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol


class DeadLetters(Protocol):
    """See manager/deadletters.py, which is one."""

    async def page(
        self,
        *,
        service: str | None = None,
        failure: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]: ...
    async def show(self, run: str) -> dict[str, Any]: ...
    async def redrive(self, ids: Sequence[str], *, same_revision: bool = False) -> list[dict[str, Any]]: ...
    async def purge(self, ids: Sequence[str]) -> list[dict[str, Any]]: ...


class Quarantine(Protocol):
    """See manager/quarantine.py, which is one."""

    async def page(
        self,
        *,
        source: str | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        settled_too: bool = False,
        limit: int | None = None,
        at: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Any]: ...
    async def show(self, record: str) -> dict[str, Any]: ...
    async def body(self, record: str) -> bytes: ...
    async def redrive(self, records: Sequence[str]) -> list[dict[str, Any]]: ...
    async def purge(self, records: Sequence[str]) -> list[dict[str, Any]]: ...


class Backfills(Protocol):
    """See manager/backfill.py, which is one."""

    async def begin(
        self,
        service: str,
        *,
        prefix: str = "",
        since: datetime | None = None,
        as_new: bool = False,
        dry_run: bool = False,
        resume: str | None = None,
    ) -> dict[str, Any]: ...
    async def advance(self, backfill: str, most: int) -> dict[str, Any]: ...


class Replays(Protocol):
    """See manager/replays.py, which is one."""

    async def begin(self, service: str, start: datetime, end: datetime, *, as_new: bool = False) -> dict[str, Any]: ...
    async def preview(
        self,
        service: str,
        start: datetime,
        end: datetime,
        *,
        as_new: bool = False,
        at: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Any]: ...
    async def advance(self, replay: str) -> dict[str, Any]: ...
    async def page(self, limit: int | None = None) -> list[dict[str, Any]]: ...
    async def show(self, replay: str) -> dict[str, Any]: ...
    async def unfinished(self) -> list[str]: ...
