"""The log of events in one SQLite file, for a laptop.

In:  records, and groups that read them. Out: the bus of port.py, durable when publish returns, whole after a crash.
Not here: how the file is written in groups (oscar_events/sqlite.py), who reads what (local.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from oscar_events.bus.local import SESSION_SECONDS, LocalBus
from oscar_events.bus.port import TOPICS, Delivery, OffsetGoneError, Partition
from oscar_events.errors import BusError, ConfigurationError, UnavailableError
from oscar_events.log import logger
from oscar_events.record import Record
from oscar_events.sqlite import GroupWriter, Reader, connect

T = TypeVar("T")

_log = logger(__name__)

SCHEMA_VERSION = 2
EXPIRE_SECONDS = 3600.0  # retention is counted in days: an hour late is nothing
EXPIRE_RECORDS = 1000  # per unit of work: some milliseconds, so that publishing is not held up by a week's end

# next_offset is a column, not max(offset) + 1: no offset is used twice, also when retention has taken every record.
# timestamp_ms stands before the blobs: offset_at and expire then read past no overflow page.
_SCHEMA = (
    "CREATE TABLE topics (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL REFERENCES topics, number INTEGER NOT NULL,
        first_offset INTEGER NOT NULL DEFAULT 0, next_offset INTEGER NOT NULL DEFAULT 0, UNIQUE (topic_id, number))""",
    """CREATE TABLE records (
        partition_id INTEGER NOT NULL REFERENCES partitions, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
        key BLOB, headers BLOB, value BLOB NOT NULL, PRIMARY KEY (partition_id, offset))""",
    """CREATE TABLE commits (
        group_name TEXT NOT NULL, partition_id INTEGER NOT NULL REFERENCES partitions, next_offset INTEGER NOT NULL,
        PRIMARY KEY (group_name, partition_id)) WITHOUT ROWID""",
)
# What each later schema added; run on a file of the one before, and on a new one.
_ADDED = ((2, "CREATE INDEX records_key ON records (key, partition_id, offset) WHERE key IS NOT NULL"),)

_APPEND = "INSERT INTO records (partition_id, offset, timestamp_ms, key, headers, value) VALUES (?, ?, ?, ?, ?, ?)"

# How far every group has got that ever committed to the topic; one that has not yet to this partition is at its start.
_SLOWEST = """
    SELECT min(coalesce(commits.next_offset, partition.first_offset))
    FROM partitions AS partition
    JOIN partitions AS sibling ON sibling.topic_id = partition.topic_id
    JOIN commits AS seen ON seen.partition_id = sibling.id
    LEFT JOIN commits ON commits.group_name = seen.group_name AND commits.partition_id = partition.id
    WHERE partition.id = ?"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


class SqliteBus(LocalBus):
    """A bus in the file at path.

    partitions: of a topic made now; one that exists keeps its number, since a key must keep its partition.
    retention: how long records are kept at least; what a group that ever committed has not read yet is kept longer.
    Opening raises ConfigurationError or InUseError as connect() does.
    """

    def __init__(
        self,
        path: Path,
        partitions: int = 4,
        retention: timedelta = timedelta(days=7),
        *,
        topics: Sequence[str] = TOPICS,
        session_timeout: float = SESSION_SECONDS,
    ) -> None:
        super().__init__(session_timeout)
        self._path, self._new_topics, self._new_partitions, self._retention = path, topics, partitions, retention

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        placed: defaultdict[Partition, list[int]] = defaultdict(list)
        for index, partition in enumerate(self._place(topic, records)):
            placed[partition].append(index)
        rows = [(r.timestamp_ms, r.key, _encode(r.headers) if r.headers else None, r.value) for r in records]

        def append(connection: sqlite3.Connection) -> dict[int, tuple[Partition, int]]:
            lies: dict[int, tuple[Partition, int]] = {}
            for partition, indexes in placed.items():
                ((end,),) = connection.execute(
                    "UPDATE partitions SET next_offset = next_offset + ? WHERE id = ? RETURNING next_offset",
                    (len(indexes), self._ids[partition]),
                )
                lies.update((index, (partition, offset)) for offset, index in enumerate(indexes, end - len(indexes)))
            connection.executemany(
                _APPEND, ((self._ids[partition], offset, *rows[index]) for index, (partition, offset) in lies.items())
            )
            return lies

        lies = await self._write(append)
        self._bell.ring()
        return [lies[index] for index in range(len(records))]

    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        def read(connection: sqlite3.Connection) -> list[Delivery]:
            deliveries: list[Delivery] = []
            for partition, position in positions.items():
                first, end = _extent(connection, self._ids[partition])
                if not first <= position <= end:
                    raise OffsetGoneError(partition, position, first, end)
                rows = connection.execute(
                    "SELECT offset, timestamp_ms, key, headers, value FROM records"
                    " WHERE partition_id = ? AND offset >= ? ORDER BY offset LIMIT ?",
                    (self._ids[partition], position, max_records - len(deliveries)),
                )
                deliveries += [_delivery(partition, row) for row in rows]
            return deliveries

        return await self._read(read)

    async def starts(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
        # In the writer, behind every commit that was begun: a reader would not see one that is on its way.
        def starts(connection: sqlite3.Connection) -> dict[Partition, int]:
            found = {}
            for partition in partitions:
                committed = _committed(connection, group, self._ids[partition])
                found[partition] = _extent(connection, self._ids[partition])[0] if committed is None else committed
            return found

        return await self._write(starts)

    async def store(self, group: str, offsets: Mapping[Partition, int], check: Callable[[], None]) -> None:
        rows = [(group, self._ids[partition], offset) for partition, offset in offsets.items()]

        def store(connection: sqlite3.Connection) -> None:
            check()
            connection.executemany(
                "INSERT INTO commits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                rows,
            )

        await self._write(store)

    async def topic_id(self, topic: str) -> str:
        self._partitions_of(topic)  # NotFoundError

        def find(connection: sqlite3.Connection) -> str:
            ((found,),) = connection.execute("SELECT uuid FROM topics WHERE name = ?", (topic,))
            return str(found)

        return await self._read(find)

    async def offsets(self, partition: Partition) -> tuple[int, int]:
        return await self._read(lambda connection: _extent(connection, self._ids[partition]))

    async def committed(self, group: str, partition: Partition) -> int | None:
        return await self._read(lambda connection: _committed(connection, group, self._ids[partition]))

    async def retention(self, topic: str) -> timedelta:
        return self._retention

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        def find(connection: sqlite3.Connection) -> int:
            found = connection.execute(
                "SELECT offset FROM records WHERE partition_id = ? AND timestamp_ms >= ? ORDER BY offset LIMIT 1",
                (self._ids[partition], timestamp_ms),
            ).fetchone()
            return int(found[0]) if found else _extent(connection, self._ids[partition])[1]

        return await self._read(find)

    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        partition = self._partition_of(topic, key)

        def find(connection: sqlite3.Connection) -> list[Delivery]:
            rows = connection.execute(
                "SELECT offset, timestamp_ms, key, headers, value FROM records"
                " WHERE key = ? AND partition_id = ? AND timestamp_ms >= ? ORDER BY offset DESC LIMIT ?",
                (key, self._ids[partition], since_ms, max_records),
            )
            return [_delivery(partition, row) for row in rows][::-1]

        return await self._read(find)

    async def expire(self, now_ms: int) -> int:
        """Delete what is older than the retention, up to the slowest group's offset; return how many records went."""
        before_ms = now_ms - int(self._retention.total_seconds() * 1000)
        total = 0
        for partition_id in self._ids.values():
            gone = EXPIRE_RECORDS
            while gone == EXPIRE_RECORDS:
                gone = await self._write(partial(_expire, partition_id=partition_id, before_ms=before_ms))
                total += gone
        return total

    async def _expire_hourly(self) -> None:
        while True:
            try:
                gone = await self.expire(time.time_ns() // 1_000_000)
                if gone:
                    _log.info("records expired", records=gone)
            except BusError as error:
                _log.warning("retention has to wait", reason=str(error))
            await asyncio.sleep(EXPIRE_SECONDS)

    async def _write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._writer.run(unit)
        except sqlite3.Error as error:
            raise BusError(f"{self._path}: {error}") from error

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._reader.run(read)
        except sqlite3.Error as error:
            raise BusError(f"{self._path}: {error}") from error

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._writer = await stack.enter_async_context(
                GroupWriter(lambda: connect(self._path), _execute, sqlite3.Connection.close, self._not_committed)
            )
            self._ids = await self._write(self._make)
            self._topics = {}
            for partition in self._ids:
                self._topics.setdefault(partition.topic, []).append(partition)
            self._reader = await stack.enter_async_context(
                Reader(lambda: connect(self._path, read_only=True), _execute, sqlite3.Connection.close)
            )
            self._expiry = asyncio.create_task(self._expire_hourly(), name="bus retention")
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with self._open:
            self._expiry.cancel()
            await asyncio.wait([self._expiry])
            if not self._expiry.cancelled():
                self._expiry.result()  # it never ends by itself: this raises what ended it

    def _not_committed(self, reason: str) -> UnavailableError:
        return BusError(f"{self._path}: {reason}")

    def _make(self, connection: sqlite3.Connection) -> dict[Partition, int]:
        """Create what is missing; return every partition's id."""
        ((version,),) = connection.execute("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{self._path} was written by a newer oscar-events (schema {version}, this one knows "
                f"{SCHEMA_VERSION}); install the newer version, or name another data directory"
            )
        if version == 0:
            for statement in _SCHEMA:
                connection.execute(statement)
        for since, statement in _ADDED:
            if version < since:
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for topic in self._new_topics:
            for (topic_id,) in connection.execute(
                "INSERT INTO topics (uuid, name) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id",
                (str(uuid.uuid4()), topic),
            ).fetchall():
                connection.executemany(
                    "INSERT INTO partitions (topic_id, number) VALUES (?, ?)",
                    [(topic_id, number) for number in range(self._new_partitions)],
                )
        rows = connection.execute(
            "SELECT name, number, partitions.id FROM partitions JOIN topics ON topics.id = topic_id ORDER BY 1, 2"
        )
        return {Partition(name, number): partition_id for name, number, partition_id in rows}


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log is, without opening it as a bus. topics: their ids by name. records: how many each holds."""

    version: int
    topics: Mapping[str, str]
    records: Mapping[str, int]


def log_facts(path: Path) -> LogFacts:
    """Look into the file as it is, also while a platform writes it. Raises ConfigurationError, InUseError, BusError."""
    connection = connect(path, read_only=True)
    try:
        ((version,),) = connection.execute("PRAGMA user_version")
        if version == 0 or version > SCHEMA_VERSION:
            return LogFacts(version, {}, {})
        rows = connection.execute(
            "SELECT name, uuid, coalesce(sum(next_offset - first_offset), 0)"
            " FROM topics LEFT JOIN partitions ON topic_id = topics.id GROUP BY topics.id"
        ).fetchall()
    except sqlite3.Error as error:
        raise BusError(f"{path}: {error}") from error
    finally:
        connection.close()
    return LogFacts(version, {name: uid for name, uid, _ in rows}, {name: count for name, _, count in rows})


def _execute(connection: sqlite3.Connection, statement: str) -> object:
    return connection.execute(statement)


def _delivery(partition: Partition, row: tuple[int, int, bytes | None, bytes | None, bytes]) -> Delivery:
    offset, timestamp_ms, key, headers, value = row
    return Delivery(partition, offset, Record(key, value, timestamp_ms, _decode(headers) if headers else ()))


def _extent(connection: sqlite3.Connection, partition_id: int) -> tuple[int, int]:
    ((first, end),) = connection.execute(
        "SELECT first_offset, next_offset FROM partitions WHERE id = ?", (partition_id,)
    )
    return first, end


def _committed(connection: sqlite3.Connection, group: str, partition_id: int) -> int | None:
    found = connection.execute(
        "SELECT next_offset FROM commits WHERE group_name = ? AND partition_id = ?", (group, partition_id)
    ).fetchone()
    return int(found[0]) if found else None


def _expire(connection: sqlite3.Connection, partition_id: int, before_ms: int) -> int:
    """Delete from the partition's start, EXPIRE_RECORDS at most, so that what stays has no hole."""
    first, end = _extent(connection, partition_id)
    ((slowest,),) = connection.execute(_SLOWEST, (partition_id,))
    end = min(end, first + EXPIRE_RECORDS, end if slowest is None else slowest)
    kept = connection.execute(
        "SELECT offset FROM records WHERE partition_id = ? AND offset < ? AND timestamp_ms >= ?"
        " ORDER BY offset LIMIT 1",
        (partition_id, end, before_ms),
    ).fetchone()
    end = max(first, kept[0] if kept else end)
    connection.execute("DELETE FROM records WHERE partition_id = ? AND offset < ?", (partition_id, end))
    connection.execute("UPDATE partitions SET first_offset = ? WHERE id = ?", (end, partition_id))
    return int(end - first)
