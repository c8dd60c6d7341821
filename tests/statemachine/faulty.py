"""A ledger and a bus whose every call can fail, before it is done or after.

In:  which call is to fail, and how. Out: the product's units of work on SQLite in memory; the bus double.
Not here: deciding when (test_dispatcher.py).

"Done, but the answer was lost" is the fault that a database's failover and a broker's time-out have in common: whoever
asked knows nothing, and asks again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, Self
from unittest import mock

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import QUARANTINE, Batch, Consumer, OnAssigned, OnRevoked, Partition
from oscar_events.errors import BusError, LedgerError
from oscar_events.ledger import claims, ends, leases, outbox, permits, roles
from oscar_events.ledger.port import Ledger, T, Unit
from oscar_events.ledger.schema import instance, migrate
from oscar_events.record import Record

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


class Fault(Enum):
    """How a call fails."""

    NOT_DONE = "not done"
    ANSWER_LOST = "done, but the answer was lost"


class Faults:
    """The faults to come, one for each call, None = no fault; and until when, by the event loop's time, all fail."""

    def __init__(self) -> None:
        self.coming: list[Fault | None] = []
        self._always, self._until = Fault.NOT_DONE, 0.0

    def all_fail(self, how: Fault, until: float) -> None:
        """Have every call fail for a time."""
        self._always, self._until = how, until

    def next(self) -> Fault | None:
        """Return what happens to this call."""
        if asyncio.get_running_loop().time() < self._until:
            return self._always
        return self.coming.pop(0) if self.coming else None

    def heal(self) -> None:
        """Have nothing fail any more."""
        self.coming.clear()
        self._until = 0.0


class FaultyLedger(Ledger):
    """The ledger in memory; one unit of work after the other, in the thread of the event loop.

    faults: of all calls; faults_at: of the units that do such a step, see STEPS.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.faults_at = {step: Faults() for step in STEPS}
        self._steps: set[str] = set()
        self._connection = _connect()
        _driver(_migrated()).backup(_driver(self._connection))
        self.instance = self._in_transaction(instance, keep=True)

    async def write(self, unit: Unit[T]) -> T:
        fault = self.faults.next()
        if fault is Fault.NOT_DONE:
            raise LedgerError("asked for by the test")

        def faulty(connection: Connection) -> tuple[T, Fault | None]:
            self._steps.clear()
            value = unit(connection)
            found = next((one for step in self._steps if (one := self.faults_at[step].next())), None)
            if found is Fault.NOT_DONE:
                raise LedgerError("undone at its end, as asked for by the test")
            return value, found

        value, fault_at = self._in_transaction(faulty, keep=True)
        if Fault.ANSWER_LOST in (fault, fault_at):
            raise LedgerError("done, but the answer was lost, as asked for by the test")
        return value

    async def read(self, unit: Unit[T]) -> T:
        if self.faults.next() is not None:
            raise LedgerError("asked for by the test")
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
        for one in (self.faults, *self.faults_at.values()):
            one.heal()

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
    """The bus double. faults: of publishes; quarantine: of those to the quarantine; consuming: of polls and commits."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.faults = Faults()
        self.quarantine = Faults()
        self.consuming = Faults()

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        fault = (self.quarantine if topic == QUARANTINE else self.faults).next()
        if fault is not None:
            self.fail_next_publish(BusError("asked for by the test"), stored=fault is Fault.ANSWER_LOST)
        return await super().publish(topic, records)

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        member = super().consumer(topics, group, on_assigned=on_assigned, on_revoked=on_revoked)
        return _FaultyConsumer(member, self.consuming)


class _FaultyConsumer(Consumer):
    """A member whose polls fail before they are done, and whose commits fail before or after."""

    def __init__(self, member: Consumer, faults: Faults) -> None:
        self._member, self._faults = member, faults

    async def poll(self, *, max_records: int, max_wait: float) -> Batch:
        if self._faults.next() is not None:
            raise BusError("asked for by the test")
        return await self._member.poll(max_records=max_records, max_wait=max_wait)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        fault = self._faults.next()
        if fault is not Fault.NOT_DONE:
            await self._member.commit(offsets)
        if fault is not None:
            raise BusError("asked for by the test")

    async def seek(self, partition: Partition, offset: int) -> None:
        await self._member.seek(partition, offset)

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
