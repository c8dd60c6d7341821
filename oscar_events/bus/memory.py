"""The bus as a double for tests: the whole contract of port.py, nothing durable, and failures on request.

In:  records, failures to come. Out: the bus of port.py. Not here: who reads what (local.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

from oscar_events.bus.local import SESSION_SECONDS, LocalBus
from oscar_events.bus.port import TOPICS, Delivery, OffsetGoneError, Partition
from oscar_events.record import Record


@dataclass(slots=True)
class _Log:
    """One partition. first: the offset of records[0]."""

    first: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


class MemoryBus(LocalBus):
    """A bus in memory. What it holds outlives leaving the context, so that a test can open it again."""

    def __init__(
        self,
        partitions: int = 4,
        retention: timedelta = timedelta(days=7),
        *,
        topics: Sequence[str] = TOPICS,
        session_timeout: float = SESSION_SECONDS,
    ) -> None:
        super().__init__(session_timeout)
        self._retention = retention
        self._topics = {topic: [Partition(topic, number) for number in range(partitions)] for topic in topics}
        self._topic_ids = {topic: str(uuid.uuid4()) for topic in topics}
        self._logs = {partition: _Log() for numbers in self._topics.values() for partition in numbers}
        self._commits: dict[tuple[str, Partition], int] = {}
        self._failures: list[tuple[Exception, bool]] = []

    def fail_next_publish(self, error: Exception, *, stored: bool) -> None:
        """Raise error from the next publish not yet spoken for.

        stored: whether its records are there nevertheless, as when only the acknowledgement was lost.
        """
        self._failures.append((error, stored))

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        placed = self._place(topic, records)
        error, stored = self._failures.pop(0) if self._failures else (None, True)
        lies = []
        if stored:
            for partition, record in zip(placed, records, strict=True):
                lies.append((partition, self._logs[partition].end))
                self._logs[partition].records.append(record)
            self._bell.ring()
        if error is not None:
            raise error
        return lies

    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for partition, position in positions.items():
            log = self._logs[partition]
            if not log.first <= position <= log.end:
                raise OffsetGoneError(partition, position, log.first, log.end)
            start = position - log.first
            records = log.records[start : start + max_records - len(deliveries)]
            deliveries += [Delivery(partition, offset, record) for offset, record in enumerate(records, position)]
        return deliveries

    async def starts(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
        return {p: self._commits.get((group, p), self._logs[p].first) for p in partitions}

    async def store(self, group: str, offsets: Mapping[Partition, int], check: Callable[[], None]) -> None:
        check()
        self._commits.update({(group, partition): offset for partition, offset in offsets.items()})

    async def topic_id(self, topic: str) -> str:
        self._partitions_of(topic)  # NotFoundError
        return self._topic_ids[topic]

    async def offsets(self, partition: Partition) -> tuple[int, int]:
        return self._logs[partition].first, self._logs[partition].end

    async def committed(self, group: str, partition: Partition) -> int | None:
        return self._commits.get((group, partition))

    async def retention(self, topic: str) -> timedelta:
        return self._retention

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        log = self._logs[partition]
        return next(
            (offset for offset, record in enumerate(log.records, log.first) if record.timestamp_ms >= timestamp_ms),
            log.end,
        )

    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        partition = self._partition_of(topic, key)
        log = self._logs[partition]
        found = [
            Delivery(partition, offset, record)
            for offset, record in enumerate(log.records, log.first)
            if record.key == key and record.timestamp_ms >= since_ms
        ]
        return found[-max_records:]

    async def expire(self, now_ms: int) -> int:
        """Delete what is older than the retention, up to the slowest group's offset; return how many records went."""
        before_ms = now_ms - int(self._retention.total_seconds() * 1000)
        total = 0
        for partition, log in self._logs.items():
            groups = {group for group, seen in self._commits if seen.topic == partition.topic}
            slowest = min((self._commits.get((group, partition), log.first) for group in groups), default=log.end)
            gone = max(0, min(slowest, await self.offset_at(partition, before_ms)) - log.first)
            del log.records[:gone]
            log.first += gone
            total += gone
        return total

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return
