"""Consumer groups whose members all live in this process: who holds which partition, and from where it reads.

In:  members that join, poll and leave; a log that can be read from positions. Out: Consumer, as port.py promises it.
Not here: where records and committed offsets lie (sqlite.py, memory.py).

A laptop's directory is locked by one process, so membership needs no broker. Who holds a partition decides everything:
only the holder is given its records, and a commit is checked against the holder at the moment it is written. Partitions
move when members poll: one that holds too much is told, then lets go; one that should have more takes what is free.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary
from zlib import crc32

from oscar_events.bus.port import Batch, Bus, Consumer, Delivery, OnAssigned, OnRevoked, Partition
from oscar_events.errors import FencedError, NotFoundError
from oscar_events.record import Record

# Kafka's max.poll.interval.ms. A member here cannot die unnoticed, only hang, and a slow batch is no hang.
SESSION_SECONDS = 300.0
# How late a waiting poll may notice what rings no bell: another process's publish, a member gone silent.
TICK_SECONDS = 0.2


class Bell:
    """Wakes everybody who waits. Listen first, look second, wait third: then no ring is missed."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Return the event that the next ring sets."""
        return self._rung

    def ring(self) -> None:
        """Wake everybody who listens."""
        self._rung.set()
        self._rung = asyncio.Event()


class LocalBus(Bus):
    """What a bus with groups in this process has in common. Subclasses keep the records and the committed offsets.

    session_timeout: seconds without a poll after which a member loses its partitions.
    """

    _topics: dict[str, list[Partition]]  # set by the subclass, at the latest when it is opened

    def __init__(self, session_timeout: float = SESSION_SECONDS) -> None:
        self._session_timeout = session_timeout
        self._bell = Bell()
        self._groups: WeakValueDictionary[str, Group] = WeakValueDictionary()
        self._turn = itertools.count()

    @abstractmethod
    async def starts(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return where the group goes on: its committed offsets, all commits begun before included, else the start."""

    @abstractmethod
    async def store(self, group: str, offsets: Mapping[Partition, int], check: Callable[[], None]) -> None:
        """Store the offsets, all or none, unless check raises. It is called as they are written, by any thread."""

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        partitions = [partition for topic in topics for partition in self._partitions_of(topic)]
        shared = self._groups.get(group)
        if shared is None:
            shared = self._groups[group] = Group(group, self._bell, self._session_timeout)
        return Member(self, self._bell, shared, partitions, on_assigned, on_revoked)

    async def partitions(self, topic: str) -> list[Partition]:
        return self._partitions_of(topic)

    def _partitions_of(self, topic: str) -> list[Partition]:
        try:
            return list(self._topics[topic])
        except KeyError:
            raise NotFoundError(f"no topic {topic}; there are {', '.join(self._topics)}") from None

    def _place(self, topic: str, records: Iterable[Record]) -> list[Partition]:
        """Return each record's partition: the same for the same key, by turns without one."""
        partitions = self._partitions_of(topic)
        return [
            partitions[next(self._turn) % len(partitions)]
            if record.key is None
            else self._partition_of(topic, record.key)
            for record in records
        ]

    def _partition_of(self, topic: str, key: bytes) -> Partition:
        """Return where records with this key lie."""
        partitions = self._partitions_of(topic)
        return partitions[crc32(key) % len(partitions)]


@dataclass(slots=True, eq=False)
class Holding:
    """One partition in one member's hands. position: the next offset to read; None until the member was asked."""

    member: Member
    position: int | None = None
    is_paused: bool = False


class Group:
    """Who is in a consumer group, and who holds what. Belongs to the event loop; check() alone is for any thread."""

    def __init__(self, name: str, bell: Bell, session_timeout: float) -> None:
        self.name = name
        self._bell = bell
        self._session_timeout = session_timeout
        self._seen: dict[Member, float] = {}  # when it last polled; in order of joining
        self._holdings: dict[Partition, Holding] = {}

    def beat(self, member: Member) -> None:
        """Note that the member is there, and put out those who were not for the session timeout."""
        now = asyncio.get_running_loop().time()
        if member not in self._seen:
            self._bell.ring()
        self._seen[member] = now
        for other in [other for other, seen in self._seen.items() if now - seen > self._session_timeout]:
            self.leave(other)

    def leave(self, member: Member) -> None:
        """Free all the member holds, and share it among the others."""
        self._seen.pop(member, None)
        self.release(self.held(member))

    def release(self, partitions: Iterable[Partition]) -> None:
        """Free the partitions for whoever they belong to now."""
        for partition in partitions:
            del self._holdings[partition]
        self._bell.ring()

    def take(self, member: Member, partitions: Iterable[Partition]) -> None:
        """Give the member those of the partitions that nobody holds."""
        for partition in partitions:
            self._holdings.setdefault(partition, Holding(member))

    def share(self, member: Member) -> set[Partition]:
        """Return what the member should hold: of each topic every n-th partition, n members reading it."""
        shared = set()
        for partition in member.partitions:
            readers = [reader for reader in self._seen if partition in reader.partitions]
            if readers and readers[partition.number % len(readers)] is member:
                shared.add(partition)
        return shared

    def held(self, member: Member) -> dict[Partition, Holding]:
        """Return what the member does hold."""
        return {partition: holding for partition, holding in self._holdings.items() if holding.member is member}

    def check(self, member: Member, partitions: Iterable[Partition]) -> None:
        """Raise FencedError unless the member holds all of the partitions."""
        for partition in partitions:
            holding = self._holdings.get(partition)
            if holding is None or holding.member is not member:
                raise FencedError(f"{partition.topic}/{partition.number} of group {self.name} went to another member")


class Member(Consumer):
    """A consumer of a local bus."""

    def __init__(
        self,
        bus: LocalBus,
        bell: Bell,
        group: Group,
        partitions: Sequence[Partition],
        on_assigned: OnAssigned | None,
        on_revoked: OnRevoked | None,
    ) -> None:
        self._bus, self._bell, self._group = bus, bell, group
        self.partitions = frozenset(partitions)
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._polls = 0

    async def poll(self, *, max_records: int, max_wait: float) -> Batch:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait
        while True:
            rung = self._bell.listen()
            self._group.beat(self)
            await self._hand_over()
            await self._take_over()
            deliveries = await self._read(max_records)
            left = deadline - loop.time()
            if deliveries or left <= 0:
                return Batch(tuple(deliveries))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, TICK_SECONDS)):
                    await rung.wait()

    async def _hand_over(self) -> None:
        excess = self._group.held(self).keys() - self._group.share(self)
        if not excess:
            return
        if self._on_revoked is not None:
            await self._on_revoked(frozenset(excess))
        self._group.release(excess & self._group.held(self).keys())

    async def _take_over(self) -> None:
        self._group.take(self, self._group.share(self))
        fresh = {p: holding for p, holding in self._group.held(self).items() if holding.position is None}
        if not fresh:
            return
        chosen = await self._on_assigned(frozenset(fresh)) if self._on_assigned is not None else {}
        starts = {**await self._bus.starts(self._group.name, fresh.keys() - chosen.keys()), **chosen}
        for partition, holding in fresh.items():
            if holding.position is None:  # else on_assigned called seek
                holding.position = starts[partition]

    async def _read(self, max_records: int) -> list[Delivery]:
        held = self._group.held(self)
        order = deque(sorted(held))
        order.rotate(self._polls)  # each poll begins with another partition: a full one does not starve the others
        self._polls += 1
        ready = (p for p in order if not held[p].is_paused)
        asked = {p: position for p in ready if (position := held[p].position) is not None}
        deliveries = await self._bus.read(asked, max_records)
        # Meanwhile a partition may have moved, or its position (seek): then what was read for it is not delivered.
        now = self._group.held(self)
        kept = [
            d
            for d in deliveries
            if (at := now.get(d.partition)) and at.position == asked[d.partition] and not at.is_paused
        ]
        for delivery in kept:
            now[delivery.partition].position = delivery.offset + 1
        return kept

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if offsets:
            await self._bus.store(self._group.name, offsets, lambda: self._group.check(self, offsets))

    async def seek(self, partition: Partition, offset: int) -> None:
        self._group.check(self, [partition])
        self._group.held(self)[partition].position = offset
        self._bell.ring()  # a poll that waits beside this has something to look for now

    def pause(self, partition: Partition) -> None:
        self._set_paused(partition, True)

    def resume(self, partition: Partition) -> None:
        self._set_paused(partition, False)
        self._bell.ring()

    def _set_paused(self, partition: Partition, paused: bool) -> None:
        if (holding := self._group.held(self).get(partition)) is not None:
            holding.is_paused = paused

    def assignment(self) -> frozenset[Partition]:
        return frozenset(self._group.held(self))

    async def __aenter__(self) -> Self:
        self._group.beat(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._group.leave(self)
