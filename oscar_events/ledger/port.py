"""The ledger: where it is decided what runs, and what has.

In:  units of work, plain functions that take a SQLAlchemy connection. Out: their values, once durable.
Not here: what the units do (services, claims, leases, ends, runs, outbox beside this module), any database (sqlite.py,
postgresql.py).

A unit is synchronous and touches nothing but its connection, so the same unit runs in SQLite's writer thread and under
`AsyncConnection.run_sync` on PostgreSQL. On SQLite units run one after the other; on PostgreSQL beside each other, at
READ COMMITTED. So a unit that reads a row in order to change it, or another one because of it, locks that row
(`with_for_update`, which SQLite's dialect leaves out), and rows of one table are locked in the order of their keys. A
unit may run several times before it is committed, and once more after a commit whose answer was lost: whatever a unit
does a second time has to be nothing.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import BigInteger, Connection, cast, func, select

T = TypeVar("T")
Unit = Callable[[Connection], T]

_TIME = "time of the ledger's transaction"  # a key of Connection.info, which outlives the transaction
_database_clock = select(cast(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000), BigInteger))


def now(connection: Connection) -> int:
    """Return the database's time, milliseconds since 1970 UTC. SQLite runs in this process: its clock is ours.

    On PostgreSQL a transaction asks once, and what it does later happens at that time too.
    """
    if connection.dialect.name == "sqlite":
        return int(time.time() * 1000)
    transaction, found = connection.get_transaction(), connection.info.get(_TIME)
    if transaction is None or found is None or found[0] is not transaction:
        time_there = int(connection.execute(_database_clock).scalar_one())
        # Asked for now: a transaction begins with its first statement, which this may have been.
        found = connection.info[_TIME] = (connection.get_transaction(), time_there)
    return int(found[1])


class Ledger(ABC):
    """A database with the ledger's tables. An async context manager; docstrings of the contract live here only.

    instance: the ledger's uuid, known once it is open.
    Raises on opening: ConfigurationError if another version wrote the tables or the database cannot be used,
    UnavailableError if it is held or away.
    """

    instance: str = ""

    @abstractmethod
    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in a transaction; return its value once committed. Raises LedgerError, or what it raises.

        After a LedgerError nobody knows whether the unit was committed; it may be run again.
        """

    @abstractmethod
    async def read(self, unit: Unit[T]) -> T:
        """Run the unit on one snapshot; it cannot write. Raises as `write` does."""

    @abstractmethod
    def on_work(self, wake: Callable[[], None]) -> None:
        """Have wake called in this event loop when somebody else has queued work, as soon as that is committed.

        A hint: it may be called for nothing, and a call may get lost; whoever waits also looks from time to time.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
