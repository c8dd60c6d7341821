"""The quarantine's topic, read backwards: newest first, all partitions, a few records in memory.

In:  where to go on, a filter. Out: what is known of each record, as plain JSON values, and where to go on.
Not here: sending anything again (quarantine.py), what is kept of a record (oscar_events/quarantine.py).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from oscar_events.bus.port import QUARANTINE, Bus, Delivery, OffsetGoneError, Partition
from oscar_events.codec import iso
from oscar_events.errors import ConfigurationError, EventError, NotFoundError
from oscar_events.ledger import settled
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.settled import How
from oscar_events.quarantine import refused_in

# Records may have 350 KiB each: with four partitions, these are 22 MiB at the very worst.
_CHUNK = 16
# What one answer looks through: some hundred milliseconds of decoding.
_LOOKED_AT = 2000

_ID = re.compile(r"(\d{1,6})-(\d{1,18})", re.ASCII)

# A partition's number, and the offset before which to go on.
Bound = Sequence[int]


class QuarantineLog:
    """Reads the topic for somebody who belongs to no consumer group."""

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        self._bus, self._ledger = bus, ledger

    async def page(
        self,
        fits: Callable[[dict[str, Any]], bool],
        since_ms: int | None,
        limit: int | None,
        at: Sequence[Bound] | None,
    ) -> dict[str, Any]:
        """Return up to `limit` records that fit, newest first, and `at`, from where to ask on; empty: that was all."""
        ends: dict[int, int] | None = None if at is None else {bound[0]: bound[1] for bound in at}
        readers = [
            await self._backwards(partition, since_ms, None if ends is None else ends[partition.number])
            for partition in await self._bus.partitions(QUARANTINE)
            if ends is None or partition.number in ends
        ]
        found: list[dict[str, Any]] = []
        looked_at = 0
        while looked_at < _LOOKED_AT and (limit is None or len(found) < limit):
            heads = [(head.record.timestamp_ms, reader) for reader in readers if (head := await reader.head())]
            if not heads:
                break
            _, newest = max(heads, key=lambda one: one[0])
            one = newest.take()
            looked_at += 1
            if fits(one):
                found.append(one)
        left = [[reader.partition.number, reader.end] for reader in readers if await reader.head()]
        return {"records": found, "at": left}

    async def find(self, record: str) -> Delivery:
        """Return the record with this id. Raises NotFoundError, ConfigurationError if it is no id."""
        match = _ID.fullmatch(record)
        if match is None:
            raise ConfigurationError(
                f"{record!r} is no id of the quarantine; one looks like 0-12, as `list` shows them"
            )
        partition, offset = Partition(QUARANTINE, int(match[1])), int(match[2])
        if partition in await self._bus.partitions(QUARANTINE):
            try:
                for delivery in await self._bus.read({partition: offset}, 1):
                    if delivery.offset == offset:
                        return delivery
            except OffsetGoneError as gone:
                if offset < gone.first:
                    raise NotFoundError(f"record {record} has left the quarantine: its retention is over") from gone
        raise NotFoundError(f"there is no record {record} in the quarantine")

    async def settled(self, partition: Partition, first: int, end: int) -> Mapping[int, How]:
        """Return those settled of a partition's offsets from first to before end."""
        topic_id = await self._bus.topic_id(QUARANTINE)
        return await self._ledger.read(
            lambda connection: settled.settled(connection, topic_id, partition.number, first, end)
        )

    async def _backwards(self, partition: Partition, since_ms: int | None, end: int | None) -> _Backwards:
        first, here = await self._bus.offsets(partition)
        if since_ms is not None:
            first = max(first, await self._bus.offset_at(partition, since_ms))
        return _Backwards(self, self._bus, partition, first, here if end is None else end)


class _Backwards:
    """One partition, from before `end` down to first; a chunk of it in memory."""

    def __init__(self, log: QuarantineLog, bus: Bus, partition: Partition, first: int, end: int) -> None:
        self._log, self._bus = log, bus
        self.partition, self.end = partition, end
        self._first, self._unread = first, end
        self._chunk: deque[Delivery] = deque()
        self._settled: Mapping[int, How] = {}

    async def head(self) -> Delivery | None:
        """Return the newest record not taken yet, None if there is none."""
        while not self._chunk and self._unread > self._first:
            start = max(self._first, self._unread - _CHUNK)
            try:
                read = await self._bus.read({self.partition: start}, self._unread - start)
            except OffsetGoneError:  # its retention was over meanwhile
                self._unread = self._first
                break
            self._chunk.extend(delivery for delivery in read if delivery.offset < self._unread)
            self._settled = await self._log.settled(self.partition, start, self._unread)
            self._unread = start
        return self._chunk[-1] if self._chunk else None

    def take(self) -> dict[str, Any]:
        """Return what is known of the head, and go on to the one before it."""
        delivery = self._chunk.pop()
        self.end = delivery.offset
        return facts(delivery, self._settled.get(delivery.offset))


def record_id(delivery: Delivery) -> str:
    """Return what people call the record."""
    return f"{delivery.partition.number}-{delivery.offset}"


def facts(delivery: Delivery, how: How | None) -> dict[str, Any]:
    """Return what is known of a record, but for its bytes. settled: how, None if nobody did anything about it.

    kept: how many of its bytes there are; a record that another version wrote in another form is told by its reason.
    """
    common = {"id": record_id(delivery), "settled": how.value if how else None}
    try:
        refused = refused_in(delivery.record.value)
    except EventError as error:
        time = iso(datetime.fromtimestamp(delivery.record.timestamp_ms / 1000, UTC))
        length = len(delivery.record.value)
        told = {"source": "", "reason": str(error), "time": time, "length": length, "kept": length}
        return {**common, **told, "sha256": "", "headers": {}}
    return {
        **common,
        "source": refused.source,
        "reason": refused.reason,
        "time": refused.time,
        "length": refused.length,
        "kept": len(refused.body),
        "sha256": refused.sha256,
        "headers": refused.headers,
    }
