"""The newest events of the log, and what came after a place in it.

In:  the bus. Out: events as plain JSON values, without their bodies; where to go on from.
Not here: what they started (journal.py adds it), consuming them (intake).

However long the log is, in memory is one chunk per partition and the rows that are asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from oscar_events.bus.port import EVENTS, Bus, Delivery, OffsetGoneError, Partition
from oscar_events.codec import decode, iso
from oscar_events.errors import ConfigurationError, EventError
from oscar_events.event import StorageEvent
from oscar_events.paths import printable

# Records per read: with the largest events (128 KiB, design §3.1) some 16 MiB per partition.
_CHUNK = 64
# So far back a filter is looked for in one answer: a second or so of reading.
MAX_LOOKED_AT = 50_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events are wanted. since_ms: by when they were recorded."""

    bucket: str | None = None
    source: str | None = None
    since_ms: int | None = None

    def accept(self, row: Mapping[str, Any]) -> bool:
        """Tell whether an event, as JSON, is wanted; what cannot be read has neither bucket nor source."""
        return (self.bucket is None or row["bucket"] == self.bucket) and (
            self.source is None or row["source"] == self.source
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Events, oldest first. cursor: where to go on from. is_cut: more of it may match further back than was looked."""

    rows: list[dict[str, Any]]
    cursor: str
    is_cut: bool = False


async def newest(bus: Bus, filters: Filters, limit: int) -> Page:
    """Return the newest events that are wanted."""
    extents = {partition: await bus.offsets(partition) for partition in await bus.partitions(EVENTS)}
    cursor = _cursor({partition: end for partition, (_, end) in extents.items()})
    rows: list[dict[str, Any]] = []
    looked_at = 0
    async with aclosing(_merged_backwards(bus, extents)) as deliveries:
        async for delivery in deliveries:
            if filters.since_ms is not None and delivery.record.timestamp_ms < filters.since_ms:
                break
            looked_at += 1
            row = event_row(delivery)
            if filters.accept(row):
                rows.append(row)
            if len(rows) == limit or looked_at == MAX_LOOKED_AT:
                break
    return Page(rows[::-1], cursor, is_cut=looked_at == MAX_LOOKED_AT and len(rows) < limit)


async def following(bus: Bus, filters: Filters, cursor: str, limit: int) -> Page:
    """Return the events after a cursor. Raises ConfigurationError if it is none."""
    positions = _positions(cursor, await bus.partitions(EVENTS))
    rows: list[dict[str, Any]] = []
    for partition in sorted(positions):
        room = limit - len(rows)
        if room <= 0:
            break
        try:
            found = await bus.read({partition: positions[partition]}, min(room, _CHUNK))
        except OffsetGoneError as gone:  # slower than retention: go on with what there is
            positions[partition] = gone.first
            continue
        if found:
            positions[partition] = found[-1].offset + 1
        rows += [row for delivery in found if filters.accept(row := event_row(delivery))]
    return Page(sorted(rows, key=lambda row: row["recorded"]), _cursor(positions))


def event_row(delivery: Delivery) -> dict[str, Any]:
    """Return an event as JSON; one that cannot be read with the reason in `unreadable`."""
    recorded = iso(datetime.fromtimestamp(delivery.record.timestamp_ms / 1000, UTC))
    row: dict[str, Any] = {"recorded": recorded, "partition": delivery.partition.number, "offset": delivery.offset}
    try:
        event = decode(delivery.record.value)
    except EventError as error:
        nothing = dict.fromkeys(("id", "source", "action", "provider", "bucket", "key", "size", "time"))
        return {**row, **nothing, "unreadable": str(error)}
    return {**row, **_facts(event), "unreadable": ""}


def _facts(event: StorageEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "source": event.adapter,
        "action": event.action.value,
        "provider": event.provider,
        "bucket": event.bucket,
        "key": printable(event.key),
        "size": event.size,
        "time": iso(event.time),
    }


async def _merged_backwards(bus: Bus, extents: Mapping[Partition, tuple[int, int]]) -> AsyncGenerator[Delivery]:
    """Yield what the partitions hold, newest first by the records' times."""
    streams = {partition: _backwards(bus, partition, *extent) for partition, extent in extents.items()}
    heads: list[tuple[int, Partition, Delivery]] = []

    async def push(partition: Partition) -> None:
        async for delivery in streams[partition]:
            heapq.heappush(heads, (-delivery.record.timestamp_ms, partition, delivery))
            return

    try:
        for partition in streams:
            await push(partition)
        while heads:
            _, partition, delivery = heapq.heappop(heads)
            yield delivery
            await push(partition)
    finally:
        for stream in streams.values():
            await stream.aclose()


async def _backwards(bus: Bus, partition: Partition, first: int, end: int) -> AsyncGenerator[Delivery]:
    while end > first:
        start = max(first, end - _CHUNK)
        try:
            found = await bus.read({partition: start}, end - start)
        except OffsetGoneError as gone:  # retention took the beginning meanwhile
            first = gone.first
            if first <= start:
                return
            continue
        for delivery in reversed([one for one in found if one.offset < end]):
            yield delivery
        end = start


def _cursor(positions: Mapping[Partition, int]) -> str:
    return ",".join(f"{partition.number}:{offset}" for partition, offset in sorted(positions.items()))


def _positions(cursor: str, partitions: list[Partition]) -> dict[Partition, int]:
    """Read a cursor; a partition it does not name is read from its start."""
    try:
        given = {int(number): int(offset) for number, offset in (part.split(":") for part in cursor.split(","))}
    except ValueError as error:
        raise ConfigurationError(f"{cursor!r} is no place in the log; write one that an answer gave") from error
    return {partition: max(given.get(partition.number, 0), 0) for partition in partitions}
