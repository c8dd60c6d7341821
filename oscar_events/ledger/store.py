"""The ledger: where it is decided what runs, and what has.

In:  units of work, plain functions that take a SQLAlchemy connection. Out: their values, once durable.
Not here: what the units do (services, claims, leases, ends, runs, outbox beside this module).

A unit is synchronous and touches nothing but its connection, so the same unit runs in SQLite's writer thread today and
under `AsyncConnection.run_sync` on PostgreSQL: one transaction (on SQLite a savepoint in a shared one) per unit.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from oscar_events import sqlite
from oscar_events.errors import ConfigurationError, LedgerError
from oscar_events.ledger import tables

T = TypeVar("T")
Unit = Callable[[Connection], T]

_MIGRATIONS = "oscar_events.ledger:migrations"
# What a statement may meet and the same one not again: a full or failing disk, no memory, another process on the file.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})


def now(connection: Connection) -> int:
    """Return the database's time, milliseconds since 1970 UTC. SQLite runs in this process: its clock is ours."""
    return int(time.time() * 1000)


class Ledger:
    """The ledger in a SQLite file. An async context manager; opening it brings the tables up to date.

    Raises on opening: ConfigurationError if the file was written by a newer version or cannot be used, InUseError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = AsyncExitStack()
        self.instance = ""

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in a transaction; return its value once committed. Raises LedgerError, or what it raises."""
        with _ledger_errors(self._path):
            return await self._writer.run(unit)

    async def read(self, unit: Unit[T]) -> T:
        """Run the unit on one snapshot; it cannot write. Raises as `write` does."""
        with _ledger_errors(self._path):
            return await self._reader.run(unit)

    async def __aenter__(self) -> Self:
        self._writer = sqlite.GroupWriter(self._open, _control, _close, LedgerError)
        self._reader = sqlite.Reader(self._open_to_read, _control, _close)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._writer)
            await stack.enter_async_context(self._reader)
            self.instance = await self._writer.run(_instance)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self) -> Connection:
        connection = _connect(self._path)
        try:
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


def migrate(connection: Connection) -> None:
    """Bring the tables to this version's state. Raises ConfigurationError if a newer version wrote them."""
    config = _alembic()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        head = ScriptDirectory.from_config(config).get_current_head()
        raise ConfigurationError(
            f"the ledger was written by a newer oscar-events (this one knows migrations up to {head}): {error}; "
            "install the newer version, or name another data directory"
        ) from error


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config


class Age(Enum):
    """Whether this version wrote a ledger's tables last."""

    OLDER = "older"
    PRESENT = "present"
    NEWER = "newer"


def age(connection: Connection) -> Age:
    """Return which version wrote the tables; nothing is changed."""
    directory = ScriptDirectory.from_config(_alembic())
    found = MigrationContext.configure(connection).get_current_revision()
    if found == directory.get_current_head():
        return Age.PRESENT
    known = {script.revision for script in directory.walk_revisions()}
    return Age.OLDER if found is None or found in known else Age.NEWER


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


def _instance(connection: Connection) -> str:
    """Return the ledger's uuid; the first to open it makes one."""
    found = connection.scalar(select(tables.instance.c.uuid))
    if found is not None:
        return str(found)
    made = str(uuid.uuid4())
    connection.execute(insert(tables.instance).values(id=1, uuid=made, generation=0, created_at=now(connection)))
    return made
