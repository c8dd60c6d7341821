"""aiokafka's consumer for as long as it is of use to a member, and what the member holds meanwhile.

In:  settings, topics, a group. Out: what was fetched, and the tenures: from an assignment to the next revocation.
Not here: what is delivered of it, and when a session is replaced (kafka_member.py).

All use of aiokafka's private attributes by our consumers is in this module: its 0.14 tells neither whether its tasks
are alive nor which generation it is in, and `stop` would wait for a rebalance to end (read in the source; 0.14.x is
pinned, and tests/integration/test_kafka_bus*.py need each of them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import ConsumerRecord, TopicPartition

from oscar_events.bus.kafka_wire import METADATA_AGE_MS, Names
from oscar_events.bus.port import Partition
from oscar_events.errors import FencedError
from oscar_events.log import logger
from oscar_events.settings import KafkaSettings

_log = logger(__name__)

# What the member does between two polls may take as long before its partitions go without it: a claim of a batch takes
# a second at most, and reference/reliability.md §2.6 gives a drain 10 s.
HANDOVER_SECONDS = 10.0
# For the request to leave: a broker that does not answer it finds out by the session timeout.
_LEAVE_SECONDS = 2.0
_OWN_CONNECTION = "leaving"  # aiokafka has one connection per broker and such a word
# aiokafka's own check of whether the member polls is switched off: it counts for ever after one failed fetch
# (SubscriptionState.fetch_context has no `finally`). The member checks.
_NEVER_MS = 2**31 - 1

Fetched = Mapping[TopicPartition, list[ConsumerRecord[bytes, bytes]]]


@dataclass(slots=True)
class Place:
    """Where one partition is read. position: the next offset to deliver; None until it was decided."""

    position: int | None = None
    is_paused: bool = False


class Tenure:
    """What is held from one assignment to the next revocation. ended: set when it is over."""

    def __init__(self, partitions: Iterable[Partition], generation: int) -> None:
        self.places = {partition: Place() for partition in partitions}
        self.generation = generation
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Session(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One aiokafka consumer. tenure: what it holds, None between two. handover: set by whoever may let go of it."""

    def __init__(
        self, options: Mapping[str, Any], settings: KafkaSettings, names: Names, topics: Iterable[str], group: str
    ) -> None:
        self._names = names
        self._theirs = [names.topic(topic) for topic in topics]
        session_ms = round(settings.session_timeout.total_seconds() * 1000)
        rebalance_ms = session_ms + round(HANDOVER_SECONDS * 1000)
        self._consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
            **options,
            group_id=names.group(group),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_AGE_MS,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 10,  # also how late the others' coming and going is noticed
            rebalance_timeout_ms=rebalance_ms,
            # A request to join waits for the whole rebalance, and then for the answer.
            request_timeout_ms=rebalance_ms + session_ms // 2,
            max_poll_interval_ms=_NEVER_MS,
        )
        self.tenure: Tenure | None = None
        self.handover: asyncio.Future[None] | None = None
        self._rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fetching: asyncio.Task[Fetched] | None = None
        self._stale: set[Partition] = set()

    async def open(self) -> None:
        """Connect and begin to join. Raises KafkaError."""
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        # Not before: `start` would wait for an assignment, and so for the other members' polls.
        self._consumer.subscribe(self._theirs, listener=self)

    async def close(self) -> None:
        """Give the partitions back, if the broker answers."""
        self.end_tenure()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
            _look(self._fetching)
        # A rebalance under way is not awaited: it may wait for members that wait for this one.
        coordination: asyncio.Task[None] = self._consumer._coordinator._coordination_task
        coordination.cancel()
        await asyncio.wait([coordination])
        _look(coordination)
        await self._leave()
        try:
            await self._consumer.stop()
        except KafkaError as error:  # of a task that has died: `stop` ends there, with its connections open
            _log.warning("consumer stopped with an error", reason=str(error.__cause__ or error))
        finally:
            await self._consumer._client.close()

    async def _leave(self) -> None:
        """Tell the broker, so that the others need not wait for the session timeout.

        aiokafka would not tell of a member that is still joining for the first time, and would wait, on a connection
        whose answers come in order, for the answer to a request to join.
        """
        coordinator = self._consumer._coordinator
        if not coordinator.member_id or coordinator.coordinator_id is None:
            return
        leaving = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._consumer._client.send(coordinator.coordinator_id, leaving, group=_OWN_CONNECTION)
        except (KafkaError, TimeoutError) as error:
            _log.warning("group not left", group=coordinator.group_id, reason=str(error) or "no answer")
        coordinator.generation = -1  # for aiokafka, which has nobody to tell any more

    @property
    def is_dead(self) -> bool:
        """Whether one of aiokafka's tasks has ended, after which nothing comes any more."""
        consumer = self._consumer
        return bool(consumer._coordinator._coordination_task.done() or consumer._fetcher._fetch_task.done())

    @property
    def generation(self) -> int:
        """Return the group's generation this member is in; below 0 once the broker has put it out."""
        return int(self._consumer._coordinator.generation)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by aiokafka before it joins again; heartbeats go on, and commits are accepted, until it returns."""
        if self.tenure is not None and self.tenure.places:
            self.handover = asyncio.get_running_loop().create_future()
            self.ring()
            done, _ = await asyncio.wait([self.handover], timeout=HANDOVER_SECONDS)
            self.handover = None
            if not done:
                _log.warning("partitions went without their member, which does not poll", partitions=len(list(revoked)))
        self.end_tenure()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by aiokafka when it has joined."""
        self.end_tenure()
        self.tenure = Tenure(map(self._names.ours, assigned), self.generation)
        self.ring()

    def end_tenure(self) -> None:
        """Hold nothing any more."""
        if self.tenure is not None and not self.tenure.ended.done():
            self.tenure.ended.set_result(None)
        self.tenure = None
        if self.handover is not None and not self.handover.done():
            self.handover.set_result(None)

    def ring(self) -> None:
        """Wake a fetch that waits."""
        if not self._rung.done():
            self._rung.set_result(None)

    async def fetch(self, max_records: int, max_wait: float) -> Fetched:
        """Return what came within max_wait seconds, nothing if rung before. Cancelled, it loses nothing.

        Raises KafkaError, also for why there is no assignment; then all is fetched again from the places' positions.
        """
        if self._fetching is None and self.tenure is not None and self.tenure.places:
            self._stale.clear()
            self._fetching = asyncio.create_task(
                self._consumer.getmany(timeout_ms=round(max_wait * 1000), max_records=max_records)
            )
        waiting: set[asyncio.Future[Any]] = {self._rung}
        if self._fetching is not None:
            waiting.add(self._fetching)
        await asyncio.wait(waiting, timeout=max_wait, return_when=asyncio.FIRST_COMPLETED)
        if self._rung.done():
            self._rung = asyncio.get_running_loop().create_future()
        fetched = self._fetching
        if fetched is None:
            # aiokafka tells whoever fetches why it cannot join, and waits with joining until it was told.
            self._consumer._coordinator.check_errors()
            return {}
        if not fetched.done():
            return {}
        self._fetching = None
        try:
            return fetched.result()
        except KafkaError:
            self._rewind_all()
            raise
        except Exception as error:  # aiokafka's parser meets what it does not foresee, like a header's name in Latin-1
            self._rewind_all()
            raise KafkaError(f"a record cannot be read by the client's library: {error!r}") from error

    def is_stale(self, partition: Partition) -> bool:
        """Whether the place was changed after what was fetched last was asked for."""
        return partition in self._stale

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from offset. Raises FencedError if the partition is being taken away."""
        place = self._place(partition)
        if place is None:
            raise fenced(partition)
        try:
            self._consumer.seek(self._names.theirs(partition), offset)
        except (IllegalStateError, AssertionError) as error:  # aiokafka knows it already, and its listener does not
            raise fenced(partition) from error
        place.position = offset
        self._stale.add(partition)
        self.ring()

    def rewind(self, partition: Partition) -> None:
        """Have everything from the place's position on fetched again."""
        place = self._place(partition)
        if place is not None and place.position is not None:
            try:
                self._consumer.seek(self._names.theirs(partition), place.position)
            except (IllegalStateError, AssertionError):
                return  # of the next tenure

    def set_paused(self, partition: Partition, paused: bool) -> None:
        """Fetch nothing of the partition, or again. Nothing if it is not held."""
        place = self._place(partition)
        if place is None:
            return
        place.is_paused = paused
        self._stale.add(partition)
        theirs = self._names.theirs(partition)
        try:
            (self._consumer.pause if paused else self._consumer.resume)(theirs)
        except (IllegalStateError, AssertionError):
            return  # of the next tenure, which is not paused
        self.ring()

    async def position(self, partition: Partition) -> int | None:
        """Return how far was fetched and taken, holes included; None if the partition is not held."""
        try:
            return int(await self._consumer.position(self._names.theirs(partition)))
        except KafkaError:
            return None

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit in the group's present generation. Raises KafkaError."""
        await self._consumer.commit({self._names.theirs(partition): offset for partition, offset in offsets.items()})

    def _place(self, partition: Partition) -> Place | None:
        return self.tenure.places.get(partition) if self.tenure is not None else None

    def _rewind_all(self) -> None:
        if self.tenure is not None:
            for partition in self.tenure.places:
                self.rewind(partition)


def fenced(partition: Partition) -> FencedError:
    """Return the error of who does not hold the partition."""
    return FencedError(f"{partition.topic}/{partition.number} is not this member's any more")


def _look(task: asyncio.Task[Any]) -> None:
    """Look at a task's error, so that nobody reports that nobody did."""
    if not task.cancelled():
        task.exception()
