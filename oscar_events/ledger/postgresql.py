"""The ledger in PostgreSQL: a cluster's.

In:  the database's URL, units of work. Out: the ledger of port.py; a unit is a transaction, several run side by side.
Not here: which error means what (postgresql_errors.py), what a database must be like and its upgrade
(postgresql_state.py), its tables (tables.py, schema.py).

A unit ends within bounded time, whatever happens to server or network: the server gives statements up, and after that
this side cuts the connection. Cut connections are replaced with the next unit; nothing has to be restarted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from oscar_events.errors import ConfigurationError, OscarEventsError
from oscar_events.ledger import moves, postgresql_state, schema
from oscar_events.ledger.port import Ledger, T, Unit
from oscar_events.ledger.postgresql_errors import (
    READ_ONLY,
    NotConnectedError,
    cause,
    is_repeated,
    ledger_error,
    opening_error,
    passing,
    place,
    sqlstate,
    with_whole_password,
)
from oscar_events.ledger.postgresql_state import DatabaseState
from oscar_events.log import logger
from oscar_events.seldom import Seldom
from oscar_events.settings import LedgerSettings

# A unit takes milliseconds. The server gives a statement up first, so that no transaction is left working there for a
# caller who has gone; the connection is cut when not even that answer comes.
STATEMENT_SECONDS = 10.0
UNIT_SECONDS = 15.0
# A server that is just starting says so at once; TLS and a password take less than a second on a slow line.
CONNECT_SECONDS = 5.0
# A process that was stopped in a transaction (SIGSTOP, lost host) holds its locks, that on its role among them, until
# the server ends it: well before the role's 8 s are over and a standby wants to take it.
IDLE_MS = 4000
# Deadlocks and serialization failures: by then somebody else holds what we want for longer than units last.
_REPEATS = 8
_REPEAT_SECONDS = 0.02  # of waiting before the first repetition, at most; doubles: 5 s in all
# Statements this program has, with room: each is parsed once per connection.
_PREPARED = 500
# While listening: how long a cut that nobody announced (a frozen server, a dropped route) may go unnoticed.
_LISTEN_CHECK_SECONDS = 15.0
_LISTEN_AGAIN_SECONDS = 1.0

_SESSION = {
    "application_name": "oscar-events",
    "default_transaction_isolation": "read committed",
    "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
    "idle_in_transaction_session_timeout": str(IDLE_MS),
    "tcp_user_timeout": str(IDLE_MS),  # the same for one that was stopped while the server sent it an answer
}
# Making an index over millions of rows takes minutes, moving their columns tens of them.
_UPGRADE_SECONDS = 6 * 3600.0
_UPGRADE_SESSION = {**_SESSION, "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}

_log = logger(__name__)
_seldom = Seldom()


class PostgresLedger(Ledger):
    """The ledger in a database. Opening it refuses tables of another version; `upgrade` brings them up to date."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._url = database_url(settings)
        self._where = place(self._url)
        self._size = settings.connections
        self._wakes: list[Callable[[], None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._open = False
        self._stack = AsyncExitStack()

    async def write(self, unit: Unit[T]) -> T:
        return await self._run(self._engine, unit)

    async def read(self, unit: Unit[T]) -> T:
        return await self._run(self._snapshots, unit)

    def on_work(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)
        if self._open and self._listener is None:
            self._listen()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._engine = _engine(self._url, self._size, _SESSION)
            stack.push_async_callback(self._engine.dispose)
            self._snapshots = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self.instance = await _opening(self._engine, self._where, self._begin)
            self._stack = stack.pop_all()
        self._open = True
        if self._wakes:
            self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None
        await self._stack.aclose()

    def _begin(self, connection: Connection) -> str:
        postgresql_state.require_fit(connection, self._where)
        return schema.instance(connection)

    async def _run(self, engine: AsyncEngine, unit: Unit[T]) -> T:
        wait = _REPEAT_SECONDS
        for repeats_left in reversed(range(_REPEATS)):
            try:
                return await _transaction(engine, unit, UNIT_SECONDS)
            except Exception as error:
                if is_repeated(error) and repeats_left:
                    await asyncio.sleep(wait * random.random())  # noqa: S311 - jitter, no secret
                    wait *= 2
                elif passing(error) and not (engine is self._snapshots and sqlstate(error) == READ_ONLY):
                    raise ledger_error(self._where, error) from error
                else:
                    raise
        raise AssertionError("the last repetition returns or raises")

    def _listen(self) -> None:
        self._listener = asyncio.get_running_loop().create_task(self._keep_listening(), name="ledger-listener")

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen_once()
            except Exception as error:  # noqa: BLE001 - whatever it is: a hint less, and looked for again
                if _seldom.due(why := cause(error)) is not None:
                    _log.warning("not told of new work for the moment", error=why)
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret

    async def _listen_once(self) -> None:
        """Listen until the connection is lost."""
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"application_name": "oscar-events listening"},
        )
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(moves.CHANNEL, lambda *_: self._wake())
            self._wake()  # for what was told while nobody listened
            while not lost.is_set():
                try:
                    async with asyncio.timeout(_LISTEN_CHECK_SECONDS):
                        await lost.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()


def database_url(settings: LedgerSettings) -> str:
    """Return the URL that the settings hold or name a file of. Raises ConfigurationError."""
    if settings.url is not None:
        return with_whole_password(settings.url.get_secret_value())
    if settings.url_file is None:
        raise ConfigurationError(
            "no database is named: set ledger.url to postgresql://user:password@host:5432/database, or ledger.url_file"
        )
    try:
        return with_whole_password(settings.url_file.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"ledger.url_file: {settings.url_file} cannot be read: {error}") from error


async def upgrade(settings: LedgerSettings) -> tuple[str | None, str]:
    """Bring a database's tables up to date; return the migration before (None: it was empty) and after."""
    async with _one_connection(settings, _UPGRADE_SESSION, _UPGRADE_SECONDS) as (engine, where):
        return await _opening(engine, where, lambda c: postgresql_state.upgrade(c, where), _UPGRADE_SECONDS)


async def look(settings: LedgerSettings) -> DatabaseState:
    """Return what a database is like; nothing is changed. Raises as opening does, but not for what it tells."""
    async with _one_connection(settings, _SESSION) as (engine, where):
        return await _opening(engine, where, postgresql_state.look)


@asynccontextmanager
async def _one_connection(
    settings: LedgerSettings, session: Mapping[str, str], seconds: float = UNIT_SECONDS
) -> AsyncIterator[tuple[AsyncEngine, str]]:
    url = database_url(settings)
    engine = _engine(url, 1, session, seconds)
    try:
        yield engine, place(url)
    finally:
        await engine.dispose()


async def _opening(engine: AsyncEngine, where: str, unit: Unit[T], seconds: float = UNIT_SECONDS) -> T:
    """Run the first unit on a database, with errors for whoever set it up."""
    try:
        return await _transaction(engine, unit, seconds)
    except OscarEventsError:
        raise
    except Exception as error:
        told = opening_error(where, error)
        if told is None:
            raise
        raise told from error


async def _transaction(engine: AsyncEngine, unit: Unit[T], seconds: float) -> T:
    """Run the unit and commit, in so many seconds; then the connection is cut.

    It is not cancelled: the driver would ask the server to cancel too, and wait for that.
    """
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except OSError as error:  # one that the unit raises is its own
            raise NotConnectedError from error
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        cut = asyncio.get_running_loop().call_later(seconds, driver.terminate)
        try:
            value = await connection.run_sync(unit)
            await connection.commit()
            return value
        except BaseException:
            await connection.rollback()
            raise
        finally:
            cut.cancel()


def _engine(url: str, size: int, session: Mapping[str, str], seconds: float = UNIT_SECONDS) -> AsyncEngine:
    async def connect() -> Any:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            # Of each statement; for those that SQLAlchemy sends on a new connection, before the cut is in force.
            command_timeout=seconds,
            server_settings=dict(session),
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        # The driver reads the URL itself: it knows libpq's parameters, as sslmode and sslrootcert.
        connect_args={"async_creator_fn": connect, "prepared_statement_cache_size": _PREPARED},
        pool_size=size,
        max_overflow=0,
        pool_timeout=UNIT_SECONDS,
        pool_use_lifo=True,  # so that few connections are warm, not all of them lukewarm
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """Have the pool replace a connection that is known to be closed; asking the server would cost a round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
