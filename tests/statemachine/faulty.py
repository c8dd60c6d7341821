"""A ledger and a bus whose every call can fail, before it is done or after.

In:  which call is to fail, and how (faults.py). Out: the product's units of work on SQLite in memory; the bus double.
Not here: deciding when (dispatching.py), the backend (host.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, Self
from unittest import mock

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from oscar_events.bus.local import Member
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import QUARANTINE, Batch, Bus, Consumer, OnAssigned, OnRevoked, Partition
from oscar_events.errors import BusError, FencedError, LedgerError
from oscar_events.ledger import claims, ends, leases, outbox, permits, roles
from oscar_events.ledger.port import Ledger, T, Unit
from oscar_events.ledger.schema import instance, migrate
from oscar_events.record import Record
from tests.statemachine.faults import Calls, Fault, Faults, calls_of, let_fail

# What the dispatcher does in a transaction: where it lives, and the name by which its callers find it there.
STEPS: Mapping[str, tuple[ModuleType, str]] = {
    "claim": (claims, "claim"),
    "lease": (leases, "lease"),
    "permit": (permits, "submit_all"),
    "give back": (leases, "give_back"),
    "end": (ends, "end_all"),
    "told": (outbox, "acknowledged"),
    "renewal": (roles, "renew"),
}
# What a bus and its consumers are asked; publishes to the quarantine, which may be away alone, go by its name.
BUS_CALLS = calls_of(Bus) | calls_of(Consumer) | {"quarantine"}


class FaultyLedger(Ledger):
    """The ledger in memory; one unit of work after the other, in the thread of the event loop.

    calls: of the port; faults_at: of the units that do such a step, see STEPS.
    """

    def __init__(self) -> None:
        self.calls = Calls(LedgerError, calls_of(Ledger))
        self.faults_at = {step: Faults() for step in STEPS}
        self._steps: set[str] = set()
        self._connection = _connect()
        _driver(_migrated()).backup(_driver(self._connection))
        self.instance = self._in_transaction(instance, keep=True)
        let_fail(self, calls_of(Ledger), self.calls)

    async def write(self, unit: Unit[T]) -> T:
        def faulty(connection: Connection) -> tuple[T, Fault | None]:
            self._steps.clear()
            value = unit(connection)
            found = next((one for step in self._steps if (one := self.faults_at[step].next())), None)
            if found is Fault.NOT_DONE:
                raise LedgerError("undone at its end, as asked for by the test")
            return value, found

        value, fault = self._in_transaction(faulty, keep=True)
        if fault is Fault.ANSWER_LOST:
            raise self.calls.failed(fault)
        return value

    async def read(self, unit: Unit[T]) -> T:
        return self._in_transaction(unit, keep=False)

    @contextmanager
    def noting_steps(self) -> Iterator[None]:
        """Know the steps of units while in the context."""
        with ExitStack() as stack:
            for step, (module, name) in STEPS.items():
                stack.enter_context(mock.patch.object(module, name, self._noting(step, getattr(module, name))))
            yield

    def _noting(self, step: str, does: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **more: Any) -> Any:
            self._steps.add(step)
            return does(*arguments, **more)

        return noting

    def heal(self) -> None:
        """Have nothing fail any more."""
        self.calls.heal()
        for faults in self.faults_at.values():
            faults.heal()

    def look(self, unit: Unit[T]) -> T:
        """Read as the test itself, whatever fails."""
        return self._in_transaction(unit, keep=False)

    def on_work(self, wake: Callable[[], None]) -> None:
        """Nobody else queues work here: hints may get lost, so losing all of them is allowed."""

    def _in_transaction(self, unit: Unit[T], *, keep: bool) -> T:
        connection: Connection = self._connection
        connection.exec_driver_sql("BEGIN")
        try:
            value = unit(connection)
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT" if keep else "ROLLBACK")
        return value

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()
        self._connection.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


@cache
def _migrated() -> Connection:
    """Return an empty ledger to copy: the migrations take longer than most tests."""
    connection = _connect()
    migrate(connection)
    return connection


def _connect() -> Connection:
    return create_engine("sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT").connect()


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


class Reach(Ledger):
    """The ledger as one process reaches it. cut_until: it does not, before that time of the event loop."""

    def __init__(self, ledger: FaultyLedger) -> None:
        self._ledger = ledger
        self.instance = ledger.instance
        self.cut_until = 0.0

    async def write(self, unit: Unit[T]) -> T:
        self._require()
        return await self._ledger.write(unit)

    async def read(self, unit: Unit[T]) -> T:
        self._require()
        return await self._ledger.read(unit)

    def on_work(self, wake: Callable[[], None]) -> None:
        self._ledger.on_work(wake)

    def _require(self) -> None:
        if asyncio.get_running_loop().time() < self.cut_until:
            raise LedgerError("this process is cut off, as asked for by the test")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


class FaultyBus(MemoryBus):
    """The bus double, and its consumers. calls: see BUS_CALLS."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.calls = Calls(BusError, BUS_CALLS)
        let_fail(self, calls_of(Bus) - {"publish"}, self.calls)

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        name = "quarantine" if topic == QUARANTINE else "publish"
        placed: list[tuple[Partition, int]] = await self.calls.make(name, super().publish, topic, records)
        return placed

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        return _FaultyMember(
            self.calls, super().consumer(topics, group, on_assigned=on_assigned, on_revoked=on_revoked)
        )


class _FaultyMember(Consumer):
    """A member whose polls, commits and seeks fail as the port lets them."""

    def __init__(self, calls: Calls, member: Consumer) -> None:
        assert isinstance(member, Member)
        self._calls, self._member = calls, member

    async def poll(self, *, max_records: int, max_wait: float) -> Batch:
        """Poll; a batch whose answer is lost counts as not delivered: the port passes no record over."""
        fault = self._calls["poll"].next()
        if fault is Fault.NOT_DONE:
            raise self._calls.failed(fault)
        batch = await self._member.poll(max_records=max_records, max_wait=max_wait)
        if fault is Fault.ANSWER_LOST:
            for partition, first in {one.partition: one.offset for one in reversed(batch.deliveries)}.items():
                await self._member.seek(partition, first)
            raise self._calls.failed(fault)
        return batch

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        await self._calls.make("commit", self._member.commit, offsets)

    async def seek(self, partition: Partition, offset: int) -> None:
        """Seek; it fails in the one way the port knows: the partition is lost, before or after, and soon given anew."""
        fault = self._calls["seek"].next()
        if fault is not Fault.NOT_DONE:
            await self._member.seek(partition, offset)
        if fault is not None:
            self._member._group.release(self._member.assignment() & {partition})
            raise FencedError(f"{fault.value}, as asked for by the test: the partition went to another member")

    def pause(self, partition: Partition) -> None:
        self._member.pause(partition)

    def resume(self, partition: Partition) -> None:
        self._member.resume(partition)

    def assignment(self) -> frozenset[Partition]:
        return self._member.assignment()

    async def __aenter__(self) -> Self:
        await self._member.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._member.__aexit__(kind, error, traceback)
