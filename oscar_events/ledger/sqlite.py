"""The ledger in a SQLite file: a laptop's.

In:  a path, units of work. Out: the ledger of port.py; a unit is a savepoint in a transaction that others share.
Not here: how a SQLite file is written in groups (oscar_events/sqlite.py), its tables (tables.py, schema.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from oscar_events import sqlite
from oscar_events.errors import LedgerError
from oscar_events.ledger.port import Ledger, T, Unit
from oscar_events.ledger.schema import instance, migrate

# What a statement may meet and the same one not again: a full or failing disk, no memory, another process on the file.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})


class SqliteLedger(Ledger):
    """The ledger in a file. Opening it brings the tables up to date."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = AsyncExitStack()

    async def write(self, unit: Unit[T]) -> T:
        with _ledger_errors(self._path):
            return await self._writer.run(unit)

    async def read(self, unit: Unit[T]) -> T:
        with _ledger_errors(self._path):
            return await self._reader.run(unit)

    def on_work(self, wake: Callable[[], None]) -> None:
        """Nobody else queues work: the directory is locked by this process."""

    async def __aenter__(self) -> Self:
        self._writer = sqlite.GroupWriter(self._open, _control, _close, LedgerError)
        self._reader = sqlite.Reader(self._open_to_read, _control, _close)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._writer)
            await stack.enter_async_context(self._reader)
            self.instance = await self._writer.run(instance)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self) -> Connection:
        connection = _connect(self._path)
        try:
            # All or nothing: tables that were half brought up to date when the power failed could not be used any more.
            with connection.begin():  # told of it, alembic does not commit after each migration
                _control(connection, "BEGIN")
                migrate(connection)
        except BaseException:
            _close(connection)
            raise
        return connection

    def _open_to_read(self) -> Connection:
        return _connect(self._path, read_only=True)


@contextmanager
def _ledger_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in _PASSING:  # above are the details of the code
            raise
        raise LedgerError(f"{path}: {error.orig}") from error


@contextmanager
def looked_into(path: Path) -> Iterator[Connection]:
    """Yield a connection on the ledger as it is: it cannot write, and nothing is brought up to date.

    For the doctor; it may look while a platform writes. Raises ConfigurationError, InUseError.
    """
    connection = _connect(path, read_only=True)
    try:
        yield connection
    finally:
        _close(connection)


def _connect(path: Path, *, read_only: bool = False) -> Connection:
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite.connect(path, read_only=read_only),
        poolclass=StaticPool,  # the one connection lives as long as the thread that uses it
        isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are the writer's, who groups units
    )
    return engine.connect()


def _control(connection: Connection, statement: str) -> None:
    """Run BEGIN, SAVEPOINT and the like on the driver itself: there are four of them around each unit of work, and
    through SQLAlchemy each costs as much as a query."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


def _close(connection: Connection) -> None:
    connection.close()
    connection.engine.dispose()
