"""One member of a consumer group on Kafka, as the port promises it.

In:  polls. Out: records of the partitions held, and who holds them.
Not here: aiokafka's consumer (kafka_session.py), questions about the log that need no group (kafka_log.py).

Kafka moves partitions whenever it likes, and aiokafka does so in a task of its own. Here they move while the member
polls, as the port says: a revocation waits for the next poll (for a time), and a new partition is read once its place
was asked for. What is held between two moves is a tenure: deliveries, commits and seeks are checked against the one of
the moment, and a commit still under way when it ends is refused.

Where a partition is read is decided by the position kept here, never by aiokafka's: whatever was fetched and could not
be delivered (an error, a seek, a pause, another tenure) is fetched again. And aiokafka's consumer is only a session: it
is left, and replaced with the next poll, when the member does not poll for max_poll_interval, when a topic was made
anew, when one of aiokafka's tasks has died, and when it stays up but stops consuming (aiokafka issues #1154, #847).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InvalidSessionTimeoutError,
    KafkaError,
    NoOffsetForPartitionError,
)
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetError
from aiokafka.structs import TopicPartition

from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.kafka_log import KafkaLog
from oscar_events.bus.kafka_session import Fetched, Session, Tenure, fenced
from oscar_events.bus.kafka_watch import Watch
from oscar_events.bus.kafka_wire import Names, delivery
from oscar_events.bus.port import Batch, Consumer, Delivery, OffsetGoneError, OnAssigned, OnRevoked, Partition
from oscar_events.errors import BusError, FencedError
from oscar_events.log import logger
from oscar_events.settings import KafkaSettings

_log = logger(__name__)

# What a broker refuses a group for, in words of who has to change it.
_REFUSED: Mapping[type[KafkaError], str] = {
    GroupAuthorizationFailedError: "the broker does not let us read as this group; an administrator allows it: "
    "kafka-acls.sh --add --operation Read --group ...",
    InvalidSessionTimeoutError: "kafka.session_timeout is not within what the broker takes "
    "(its group.min.session.timeout.ms, 6 s unless set, and group.max.session.timeout.ms)",
}


class KafkaMember(Consumer):
    """A consumer on a broker."""

    def __init__(
        self,
        settings: KafkaSettings,
        log: KafkaLog,
        names: Names,
        topics: Sequence[str],
        group: str,
        on_assigned: OnAssigned | None,
        on_revoked: OnRevoked | None,
    ) -> None:
        self._settings, self._log, self._names = settings, log, names
        self._topics, self._group = topics, group
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._patience = settings.delivery_timeout.total_seconds()
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._polling = 0
        self._polled = 0.0

    async def poll(self, *, max_records: int, max_wait: float) -> Batch:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait
        with self._seen():
            while True:
                session = await self._joined()
                await self._hand_over(session)
                await self._take_over(session)
                deliveries = await self._read(session, max_records, max(0.0, deadline - loop.time()))
                if deliveries or loop.time() >= deadline:
                    return Batch(tuple(deliveries))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        session, tenure = self._held(offsets)
        if session.generation != tenure.generation:
            raise fenced(next(iter(offsets)))
        committing = asyncio.create_task(session.commit(offsets))
        try:
            # A tenure that ends meanwhile ends the commit: aiokafka would repeat it in the next generation.
            await asyncio.wait({committing, tenure.ended}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
            if committing.done():
                committing.result()
                return
        except (IllegalStateError, CommitFailedError) as error:
            raise fenced(next(iter(offsets))) from error
        except KafkaError as error:
            raise BusError(f"group {self._group}: not committed: {error or type(error).__name__}") from error
        finally:
            committing.cancel()
            await asyncio.wait([committing])
        if tenure.ended.done():
            raise fenced(next(iter(offsets)))
        raise BusError(f"group {self._group}: the broker did not commit within {self._patience:g} s")

    async def seek(self, partition: Partition, offset: int) -> None:
        session, _ = self._held([partition])
        session.seek(partition, offset)

    def pause(self, partition: Partition) -> None:
        if self._session is not None:
            self._session.set_paused(partition, True)

    def resume(self, partition: Partition) -> None:
        if self._session is not None:
            self._session.set_paused(partition, False)

    def assignment(self) -> frozenset[Partition]:
        tenure = self._session.tenure if self._session is not None else None
        return frozenset(tenure.places) if tenure is not None else frozenset()

    def _held(self, partitions: Collection[Partition]) -> tuple[Session, Tenure]:
        session = self._session
        tenure = session.tenure if session is not None else None
        for partition in partitions:
            if tenure is None or partition not in tenure.places:
                raise fenced(partition)
        assert session is not None
        assert tenure is not None
        return session, tenure

    @contextmanager
    def _seen(self) -> Iterator[None]:
        self._polling += 1
        try:
            yield
        finally:
            self._polling -= 1
            self._polled = asyncio.get_running_loop().time()

    async def _joined(self) -> Session:
        """Return a session that is alive."""
        async with self._changing:
            if self._session is not None and self._session.is_dead:
                await self._leave("its tasks have ended")
            if self._session is None:
                try:
                    async with asyncio.timeout(self._patience):
                        self._watch = await Watch.begin(self._log, self._topics)
                        session = Session(
                            connection_options(self._settings), self._settings, self._names, self._topics, self._group
                        )
                        await session.open()
                except (KafkaError, TimeoutError) as error:
                    raise BusError(f"group {self._group}: cannot be joined: {error or 'no answer'}") from error
                self._session = session
            return self._session

    async def _leave(self, why: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            _log.warning("consumer replaced", group=self._group, reason=why)
            await self._close(session)

    async def _close(self, session: Session) -> None:
        # Also if the caller is cancelled: a session half closed would keep its partitions by its heartbeats.
        closing = asyncio.create_task(session.close(), name=f"end of a consumer of group {self._group}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _hand_over(self, session: Session) -> None:
        tenure = session.tenure
        if session.handover is None or tenure is None:
            return
        try:
            if self._on_revoked is not None:
                await self._on_revoked(frozenset(tenure.places))
        finally:
            if session.tenure is tenure:  # else it took so long that the next one has begun
                session.end_tenure()

    async def _take_over(self, session: Session) -> None:
        tenure = session.tenure
        if tenure is None:
            return
        fresh = frozenset(partition for partition, place in tenure.places.items() if place.position is None)
        if not fresh:
            return
        chosen = await self._on_assigned(fresh) if self._on_assigned is not None else {}
        starts = {**await self._starts(fresh - chosen.keys()), **chosen}
        for partition in fresh:
            if session.tenure is tenure and tenure.places[partition].position is None:  # else on_assigned called seek
                try:
                    session.seek(partition, starts[partition])
                except FencedError:
                    return  # the next poll is told

    async def _starts(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return where the group goes on: its committed offsets, else the log's start."""
        committed = await self._log.committed(self._group, partitions)
        extents = await self._log.extents([partition for partition in partitions if partition not in committed])
        return {**{partition: first for partition, (first, _) in extents.items()}, **committed}

    async def _read(self, session: Session, max_records: int, max_wait: float) -> list[Delivery]:
        assert self._watch is not None
        # Before anything is fetched: what was taken is delivered, whatever looking comes to.
        if await self._watch.stands_still(session):
            async with self._changing:
                if self._session is session:
                    await self._leave("it stands still, or a topic was made anew")
            return []
        try:
            fetched = await session.fetch(max_records, max_wait)
        except NoOffsetForPartitionError:
            return []  # aiokafka looked for a place before ours was asked for
        except KafkaOffsetError as error:
            await self._check_gone(session, error)
            return []
        except KafkaError as error:
            why = _REFUSED.get(type(error), str(error) or type(error).__name__)
            raise BusError(f"group {self._group}: {why}") from error
        deliveries = self._deliveries(session, fetched, max_records)
        self._watch.polled(is_empty=not deliveries)
        return deliveries

    def _deliveries(self, session: Session, fetched: Fetched, max_records: int) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for theirs, records in fetched.items():
            partition = self._names.ours(theirs)
            place = session.tenure.places.get(partition) if session.tenure is not None else None
            if place is None or place.position is None:
                continue
            taken = records[: max_records - len(deliveries)]
            is_ours = not (session.is_stale(partition) or place.is_paused)
            if is_ours and taken:
                deliveries += [delivery(partition, one) for one in taken]
                place.position = taken[-1].offset + 1
            if not is_ours or len(taken) < len(records):
                session.rewind(partition)
        return deliveries

    async def _check_gone(self, session: Session, error: KafkaOffsetError) -> None:
        """Raise OffsetGoneError if a position is outside the log, and not only a broker behind the others."""
        asked: Mapping[TopicPartition, int] = error.args[0]
        for partition in map(self._names.ours, asked):
            place = session.tenure.places.get(partition) if session.tenure is not None else None
            if place is None or place.position is None:
                continue
            first, end = (await self._log.extents([partition]))[partition]
            if not first <= place.position <= end:
                raise OffsetGoneError(partition, place.position, first, end)

    async def _expel(self) -> None:
        """Leave the group when the member has not polled for max_poll_interval."""
        loop = asyncio.get_running_loop()
        longest = self._settings.max_poll_interval.total_seconds()
        while True:
            silent = 0.0 if self._polling else loop.time() - self._polled
            await asyncio.sleep(longest - silent if silent < longest else longest)
            if not self._polling and self._session is not None and loop.time() - self._polled >= longest:
                async with self._changing:
                    if not self._polling:
                        await self._leave(f"its member did not poll for {longest:g} s")

    async def __aenter__(self) -> Self:
        self._polled = asyncio.get_running_loop().time()
        await self._joined()
        self._expelling = asyncio.create_task(self._expel(), name=f"polls of group {self._group}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._expelling.cancel()
        await asyncio.wait([self._expelling])
        session, self._session = self._session, None
        if session is not None:
            await self._close(session)
        if self._closing:
            await asyncio.wait(self._closing)
