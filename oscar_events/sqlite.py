"""What the two SQLite files of a laptop (log.db, ledger.db) share: how they are opened, written and read.

In:  units of work, plain functions that take the connection. Out: their values, once what they wrote is on disk.
Not here: tables and statements (bus/sqlite.py, ledger/).

SQLite has one writer per file and pays one fsync per commit. So one thread writes, and units of work that are waiting
at the same time share a commit. The connection is the caller's kind: sqlite3's own, or SQLAlchemy's over it.
"""

from __future__ import annotations

import asyncio
import queue
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from oscar_events.errors import ConfigurationError, InUseError, UnavailableError

C = TypeVar("C")
T = TypeVar("T")

GROUP_UNITS = 256  # design §5: at most so many units wait for one fsync,
GROUP_SECONDS = 0.005  # and the first of them at most so long for the others
QUEUE_UNITS = 16 * GROUP_UNITS  # 16 commits ahead of the disk: deeper only adds latency
OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
BUSY_SECONDS = 5.0  # another process commits in milliseconds; only one that hangs makes us give up

# SQLite's locks and its shared memory are only sound on a disk of this host (https://sqlite.org/wal.html).
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "fuse.ceph-fuse", "fuse.davfs2", "fuse.glusterfs", "fuse.juicefs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
})
# fmt: on
_MOUNTS = Path("/proc/self/mountinfo")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, durable and in autocommit: transactions begin and end where the caller says so.

    Raises ConfigurationError if the file cannot be opened or lies on a network file system, InUseError if another
    process holds it for longer than BUSY_SECONDS.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigurationError(f"this Python comes with SQLite {sqlite3.sqlite_version}; {oldest} or newer is needed")
    refuse_network_file_system(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if sys.platform == "darwin":
                connection.execute("PRAGMA fullfsync = ON")  # there a plain fsync stops at the drive's cache
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise InUseError(f"{path} is held by another process") from error
        raise ConfigurationError(f"cannot open {path}: {error}") from error
    return connection


def refuse_network_file_system(path: Path) -> None:
    """Raise ConfigurationError if the path lies on a network file system. Judged on Linux only."""
    if not _MOUNTS.exists():
        return
    kind = file_system(path.resolve(), _MOUNTS.read_text(errors="surrogateescape"))
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(f"{path} lies on a network file system ({kind}); name a directory on a local disk")


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system an absolute path lies on, given the text of /proc/self/mountinfo."""
    kind, depth = "", -1
    for line in mounts.splitlines():
        mount, _, super_block = line.partition(" - ")
        # Field 5 is the mount point, its blanks written as \040 (proc(5)).
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount.split(" ")[4]))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = super_block.split(" ")[0], len(point.parts)
    return kind


@dataclass(slots=True, eq=False)
class _Unit(Generic[C]):
    work: Callable[[C], object]
    answer: asyncio.Future[Any]
    value: object = None
    error: Exception | None = None


class GroupWriter(Generic[C]):
    """The one writer of a file: a thread that commits units of work in groups. An async context manager.

    connect, execute, close: how to open a connection (called in the thread), run one statement on it, close it.
    failure: the error callers get when their group could not be committed; nothing of it is in the file then.
    It belongs to the event loop that entered it, and leaving it finishes what was handed in before.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        execute: Callable[[C, str], object],
        close: Callable[[C], object],
        failure: Callable[[str], UnavailableError],
    ) -> None:
        self._connect, self._execute, self._close, self._failure = connect, execute, close, failure
        self._units: queue.SimpleQueue[_Unit[C] | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(QUEUE_UNITS)  # given back when a unit is done, not when its caller goes away
        self._closing = False

    async def run(self, work: Callable[[C], T]) -> T:
        """Run the unit of work, after all those handed in before; return its value once it is on disk.

        Waits while the queue is full. What the unit raises reaches the caller, its writes undone and those of its
        neighbours kept. If the caller is cancelled, the unit may still be written.
        """
        await self._room.acquire()
        if self._closing:
            self._room.release()
            raise self._failure("the file is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._units.put(_Unit(work, answer))
        return await answer

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._thread, name="sqlite-writer", daemon=True).start()
        try:
            await self._opened
        except BaseException:
            self._units.put(None)  # cancelled while it opens: the thread ends as soon as it has
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._units.put(None)
        await asyncio.shield(self._closed)

    def _thread(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - whoever opens the file gets it
            self._loop.call_soon_threadsafe(_settle, self._opened, None, error)
            return
        self._loop.call_soon_threadsafe(_settle, self._opened, None, None)
        try:
            while (first := self._units.get()) is not None:
                if not self._write_group(connection, first):
                    break
            self._close(connection)
        finally:
            self._loop.call_soon_threadsafe(_settle, self._closed, None, None)

    def _write_group(self, connection: C, first: _Unit[C]) -> bool:
        """Commit the first unit together with those already waiting; return False if the end of the queue was met."""
        group = [first]
        unit: _Unit[C] | None = first
        stop = time.monotonic() + GROUP_SECONDS
        try:
            self._begin_with(connection, first)
            while unit is not None:
                if unit is not first:
                    self._write(connection, unit)
                if len(group) == GROUP_UNITS or time.monotonic() >= stop:
                    break
                try:
                    unit = self._units.get_nowait()
                except queue.Empty:
                    break
                if unit is not None:
                    group.append(unit)
            self._execute(connection, "COMMIT")
        except Exception as error:  # noqa: BLE001 - every caller of the group gets it
            with suppress(Exception):  # SQLite may have rolled back by itself, and then refuses to do it again
                self._execute(connection, "ROLLBACK")
            for member in group:
                if member.error is None:
                    member.error = self._failure(f"not committed: {error}")
                    member.error.__cause__ = error
        self._loop.call_soon_threadsafe(self._acknowledge, group)
        return unit is not None

    def _begin_with(self, connection: C, first: _Unit[C]) -> None:
        """Begin the transaction with the first unit; as nothing else is in it yet, that unit needs no savepoint."""
        self._execute(connection, "BEGIN IMMEDIATE")
        if first.answer.cancelled():
            return
        try:
            first.value = first.work(connection)
        except Exception as error:  # noqa: BLE001 - its caller gets it
            first.error = error
            self._execute(connection, "ROLLBACK")
            self._execute(connection, "BEGIN IMMEDIATE")

    def _write(self, connection: C, unit: _Unit[C]) -> None:
        if unit.answer.cancelled():
            return
        self._execute(connection, "SAVEPOINT unit")
        try:
            unit.value = unit.work(connection)
        except Exception as error:  # noqa: BLE001 - its caller gets it
            unit.error = error
            self._execute(connection, "ROLLBACK TO unit")
        self._execute(connection, "RELEASE unit")

    def _acknowledge(self, group: list[_Unit[C]]) -> None:
        for unit in group:
            self._room.release()
            _settle(unit.answer, unit.value, unit.error)


class Reader(Generic[C]):
    """Reads beside the writer, in a thread of its own; each read sees one moment of the file. An async context manager.

    connect, execute, close: as for GroupWriter; the connection should be read-only.
    """

    def __init__(
        self, connect: Callable[[], C], execute: Callable[[C, str], object], close: Callable[[C], object]
    ) -> None:
        self._connect, self._execute, self._close = connect, execute, close
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-reader")
        self._room = asyncio.Semaphore(QUEUE_UNITS)

    async def run(self, read: Callable[[C], T]) -> T:
        """Return what the function returns; all its statements see the same moment."""
        async with self._room:
            return await self._loop.run_in_executor(self._thread, self._read, read)

    def _read(self, read: Callable[[C], T]) -> T:
        self._execute(self._connection, "BEGIN")
        try:
            return read(self._connection)
        finally:
            self._execute(self._connection, "ROLLBACK")

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._connection = await self._loop.run_in_executor(self._thread, self._connect)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closed = self._loop.run_in_executor(self._thread, self._close, self._connection)
        self._thread.shutdown(wait=False)  # what was handed in before still runs, this close last
        await asyncio.shield(closed)


def _settle(answer: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if answer.done():  # its caller was cancelled
        return
    if isinstance(error, StopIteration):  # asyncio refuses it in a future, as Python does in a generator (PEP 479)
        wrapped = RuntimeError("a unit of work raised StopIteration")
        wrapped.__cause__ = error
        error = wrapped
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
