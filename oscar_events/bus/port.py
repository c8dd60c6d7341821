"""The log of events as every component sees it: publish, consume in batches, commit, seek.

In:  records (key, value, headers) for a topic. Out: the same records with partition and offset, in order per partition.
Not here: what the bytes mean (codec.py), any client library (one module per technology beside this one).

The contract is Kafka's, so that Kafka fits it without change: a topic has partitions, a partition is a sequence of
offsets, records of one key lie in one partition, a consumer group shares the partitions out among its members, and a
commit by a member that has lost the partition is refused. Docstrings of the contract live here only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from oscar_events.errors import OscarEventsError
from oscar_events.record import Record

EVENTS = "oscar.events"
EXECUTIONS = "oscar.executions"
DEADLETTER = "oscar.deadletter"
QUARANTINE = "oscar.quarantine"
TOPICS = (EVENTS, EXECUTIONS, DEADLETTER, QUARANTINE)


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A record as consumed: where it lies, and what it is."""

    partition: Partition
    offset: int
    record: Record


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll returned, for a member that held these partitions at that moment.

    deliveries: in offset order per partition; may be empty when max_wait passed.
    """

    deliveries: tuple[Delivery, ...]

    def next_offsets(self) -> dict[Partition, int]:
        """Return, per partition, the offset to commit once the whole batch is durable elsewhere."""
        return {delivery.partition: delivery.offset + 1 for delivery in self.deliveries}


class OffsetGoneError(OscarEventsError):
    """The log holds nothing at a consumer's position: retention took it, or the log is an older one than it was.

    The position stays: whoever polls records the gap between position and first, and seeks (design §3.4).
    """

    def __init__(self, partition: Partition, position: int, first: int, end: int) -> None:
        super().__init__(f"{partition.topic}/{partition.number}: offset {position} is not within {first}..{end}")
        self.partition, self.position, self.first, self.end = partition, position, first, end


# Called with newly assigned partitions before anything of them is delivered; returns where to start. A partition left
# out starts at the group's committed offset, else at the log's start: never at its end (house rule 1).
OnAssigned = Callable[[frozenset[Partition]], Awaitable[Mapping[Partition, int]]]
# Called before partitions go to another member, while commits for them are still accepted. Not called for a member that
# leaves (it knows), nor for one that lost them because it did not poll for the session timeout (it is too late).
# A technology may also revoke and assign again partitions that stay; they then start as any newly assigned one.
OnRevoked = Callable[[frozenset[Partition]], Awaitable[None]]


class Consumer(ABC):
    """One member of a consumer group. An async context manager; leaving it gives its partitions back.

    It has to be polled to get, keep and hand over partitions: a member that does not poll for the bus's session
    timeout loses them. One task per member; commit and seek may be called beside a poll.
    """

    @abstractmethod
    async def poll(self, *, max_records: int, max_wait: float) -> Batch:
        """Return up to max_records records, waiting up to max_wait seconds for the first.

        Records follow on from the last poll, not from the last commit. Raises BusError, and OffsetGoneError when a
        position lies outside the log; no record is passed over by either.
        """

    @abstractmethod
    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store the next offset to read per partition, for the whole group; all of them or none.

        Durable when it returns. Raises FencedError if this member does not hold one of the partitions any more.
        """

    @abstractmethod
    async def seek(self, partition: Partition, offset: int) -> None:
        """Continue at offset with the next poll. Raises FencedError if the partition is not assigned to this member."""

    @abstractmethod
    def pause(self, partition: Partition) -> None:
        """Deliver nothing more of the partition until `resume`; it stays this member's. Nothing if it is not.

        What goes to another member and comes back is not paused.
        """

    @abstractmethod
    def resume(self, partition: Partition) -> None:
        """Deliver of the partition again, from where the last poll, or a seek since, left it."""

    @abstractmethod
    def assignment(self) -> frozenset[Partition]:
        """Return the partitions this member holds, as far as it knows."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Bus(ABC):
    """A log of records. An async context manager; opening it creates what is missing (topics, files).

    A topic the bus was not opened with is a NotFoundError. Consumers are left before the bus is.
    """

    @abstractmethod
    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        """Append the records; return where each lies, in the order given.

        Returns only after they are durable. Raises BusError: then any of them may or may not be there.
        """

    @abstractmethod
    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        """Return a new member of the group; it joins when entered."""

    @abstractmethod
    async def topic_id(self, topic: str) -> str:
        """Return the topic's identity, a UUID: another one after the topic was deleted and made again."""

    @abstractmethod
    async def partitions(self, topic: str) -> list[Partition]:
        """Return the topic's partitions, in order."""

    @abstractmethod
    async def offsets(self, partition: Partition) -> tuple[int, int]:
        """Return (the first offset still kept, the offset the next record will get)."""

    @abstractmethod
    async def committed(self, group: str, partition: Partition) -> int | None:
        """Return the group's committed offset, or None if it never committed."""

    async def retention(self, topic: str) -> timedelta | None:
        """Return how long the topic keeps a record at least; None if it is for ever, or nobody can tell."""
        return None

    @abstractmethod
    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        """Return the first offset whose record is not older than timestamp_ms; the end if there is none."""

    @abstractmethod
    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        """Return up to max_records records from these positions on, the first partition's first; without waiting.

        As anybody may who belongs to no group: nothing is committed, nobody is disturbed. Raises OffsetGoneError if
        one of the positions lies outside the log.
        """

    @abstractmethod
    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        """Return the newest records with this key that are not older than since_ms, at most so many, oldest first.

        They all lie in one partition, which a broker without an index reads from since_ms on.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
