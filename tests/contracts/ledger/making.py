"""What the suites of the ledger start from: services, events, and the steps of an execution's life in one word each."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from oscar_events import codec
from oscar_events.event import Raw, StorageEvent
from oscar_events.execution import State
from oscar_events.identity import execution_id, folder_event_id
from oscar_events.job import FailureClass, Outcome, OutputObject, Report
from oscar_events.ledger import claims, ends, leases, permits, roles, services
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.ends import AttemptEnd
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import executions
from oscar_events.service import RetrySettings, Service

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
_inodes = itertools.count(1000)


def service(name: str = "blur", path: str = "pics/in", out: str = "pics/out", **dispatch: Any) -> Service:
    """Return a service on the local store."""
    return Service.from_document(
        {
            "name": name,
            "image": "busybox",
            "script": "true\n",
            "input": [{"storage_provider": "local", "path": path}],
            "output": [{"storage_provider": "local", "path": out}],
            "dispatch": dispatch,
        }
    )


def file_event(
    key: bytes = b"in/a.png", *, inode: int = 0, size: int = 3, mtime_ns: int = 1_000, **more: Any
) -> StorageEvent:
    """Return the event of a file; another inode each time unless one is given."""
    inode = inode or next(_inodes)
    return StorageEvent(
        id=folder_event_id("local.default", "pics", key, inode, size, mtime_ns),
        provider="local.default",
        bucket="pics",
        key=key,
        source="folder://local.default/pics",
        time=EARLY,
        recorded=EARLY,
        raw=Raw(b"{}"),
        kind="folder",
        size=size,
        file_id=str(inode),
        modified_ns=mtime_ns,
        **more,
    )


def sighting(event: StorageEvent) -> Sighting:
    """Return the event as intake sees it."""
    return Sighting(event, codec.encode(event).value)


class Life:
    """Drives executions in a ledger, step by step, as the dispatcher does."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.catalogue = Catalogue()
        self.epoch = 0

    async def apply(self, one: Service, since: datetime = EARLY) -> str:
        return (await self.ledger.write(lambda c: services.apply(c, "default", one, since))).uid

    async def claim(self, *events: StorageEvent, read: list[Position] | None = None) -> set[str]:
        seen = [sighting(event) for event in events]
        return await self.ledger.write(lambda c: claims.claim(c, self.catalogue, seen, read or []))

    async def take_role(self, holder: str = "me") -> int:
        epoch = await self.ledger.write(lambda c: roles.take(c, SCHEDULER, holder, 10_000, at_once=True))
        assert epoch is not None
        self.epoch = epoch
        return epoch

    async def lease(self, uid: str, count: int = 1) -> list[Leased]:
        return await self.ledger.write(lambda c: leases.lease(c, self.epoch, [(uid, count)], 60_000))

    async def submit(self, held: Leased, spec_hash: str = "spec") -> bool:
        return await self.ledger.write(lambda c: permits.submit(c, self.epoch, held, spec_hash))

    async def end(
        self, held: Leased, report: Report | None, retry: RetrySettings | None = None, reason: str = "no report"
    ) -> State | None:
        facts = AttemptEnd(held.execution, held.attempt, held.nonce, report, reason, b"log")
        settings = retry or RetrySettings()
        return await self.ledger.write(lambda c: ends.end(c, self.epoch, facts, settings, 0.5))

    async def running(self, uid: str, event: StorageEvent | None = None) -> Leased:
        """Return a submitted attempt of a new execution."""
        await self.claim(event or file_event())
        (held,) = await self.lease(uid)
        assert await self.submit(held)
        return held

    async def state(self, execution: str) -> State:
        query = select(executions.c.state).where(executions.c.id == execution)
        return State(await self.ledger.read(lambda c: c.execute(query).scalar_one()))

    async def count(self, table: Any) -> int:
        def rows(connection: Connection) -> int:
            return len(connection.execute(select(table)).all())

        return await self.ledger.read(rows)


def run_id(uid: str, event: StorageEvent) -> str:
    """Return the id of the service's execution for the event."""
    return execution_id("default", uid, event.id)


def succeeded(held: Leased, *keys: str) -> Report:
    """Return the report of an attempt that put these keys into the bucket `pics`."""
    outputs = tuple(OutputObject(provider="local.default", bucket="pics", key=key, size=1) for key in keys)
    return Report(
        execution=held.execution,
        attempt=held.attempt,
        nonce=held.nonce,
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        started_at=1.5,
        outputs=outputs,
    )


def failed(held: Leased, failure: FailureClass, exit_code: int | None = None) -> Report:
    """Return the report of an attempt that failed."""
    return Report(
        execution=held.execution,
        attempt=held.attempt,
        nonce=held.nonce,
        outcome=Outcome.FAILED,
        failure=failure,
        exit_code=exit_code,
        reason="it failed",
    )
