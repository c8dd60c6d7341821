"""What lies in the broker's log, for anybody who asks: where topics begin and end, what they hold, what groups did.

In:  questions of the port that belong to no group. Out: answers of the moment they are asked.
Not here: appending (kafka_producer.py), reading as a member of a group (kafka_member.py).

A question is one request, repeated while the broker says "not here" or "not now", to the deadline of a publish. Only
what is committed is seen: an aborted transaction of another's producer is a hole in the offsets, and nothing is told
of an open one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError, LeaderNotAvailableError, NoBrokersAvailable, for_code
from aiokafka.partitioner import murmur2
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from oscar_events.bus.kafka_wire import Names, TopicFound, TopicsRequest, delivery, topics_found
from oscar_events.bus.port import Delivery, OffsetGoneError, Partition
from oscar_events.errors import BusError, NotFoundError

T = TypeVar("T")

READ_COMMITTED = 1
_EARLIEST, _LATEST = -2, -1  # ListOffsets: https://kafka.apache.org/protocol#The_Messages_ListOffsets
_UNKNOWN_OFFSET = -1
# As long as aiokafka itself waits before it asks again.
_RETRY_SECONDS = 0.1
# Until every broker knows of a topic that was made a moment ago.
_SETTLE_SECONDS = 2.0
# Kafka's own default of a fetch per partition: some thousand events at a time.
_FETCH_BYTES = 1024 * 1024


class KafkaLog:
    """The log. An async context manager around one client. patience: seconds until a question is given up."""

    def __init__(self, options: Mapping[str, Any], names: Names, patience: float) -> None:
        self.names, self._patience = names, patience
        # A broker that hangs is given up in time for another to be asked.
        self._client = AIOKafkaClient(**options, request_timeout_ms=round(patience * 500))

    async def topics(self) -> dict[str, TopicFound]:
        """Return those of our topics that are there, by our names. Creates none."""

        async def ask() -> dict[str, TopicFound]:
            node = self._client.get_random_node()
            if node is None:
                raise NoBrokersAvailable
            response = await self._client.send(node, TopicsRequest(map(self.names.topic, self.names.topics)))
            found = topics_found(response)
            theirs = {topic: self.names.topic(topic) for topic in self.names.topics}
            return {topic: found[name] for topic, name in theirs.items() if name in found}

        return await self._answer(ask, "the topics")

    async def topic(self, topic: str) -> TopicFound:
        """Return one of our topics. Raises NotFoundError if it is none, or was deleted."""
        self.names.topic(topic)
        found = await self.topics()
        if topic not in found:
            raise missing(self.names, [topic])
        return found[topic]

    async def partitions(self, topic: str) -> list[Partition]:
        """Return the topic's partitions, in order."""
        return [Partition(topic, number) for number in (await self.topic(topic)).partitions]

    async def extents(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """Return, for each, the first offset still kept and the one after the last."""
        wanted = list(partitions)
        first = await self._offsets(dict.fromkeys(wanted, _EARLIEST))
        end = await self._offsets(dict.fromkeys(wanted, _LATEST))
        return {partition: (first[partition], end[partition]) for partition in wanted}

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        """Return the first offset whose record is not older than timestamp_ms; the end if there is none."""
        # Before 1970 is not asked for: negative numbers mean something else to the broker.
        found = (await self._offsets({partition: max(0, timestamp_ms)}))[partition]
        return (await self._offsets({partition: _LATEST}))[partition] if found == _UNKNOWN_OFFSET else found

    async def committed(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the group's committed offsets; a partition for which it never committed is left out."""
        asked: defaultdict[str, list[int]] = defaultdict(list)
        for theirs in map(self.names.theirs, partitions):
            asked[theirs.topic].append(theirs.partition)
        name = self.names.group(group)

        async def ask() -> dict[Partition, int]:
            node = await self._client.coordinator_lookup(CoordinationType.GROUP, name)
            response = await self._client.send(node, OffsetFetchRequest(name, list(asked.items())))
            if response.error_code:
                raise for_code(response.error_code)(name)
            found = {}
            for topic, rows in response.topics:
                for number, offset, _, error_code in rows:
                    if error_code:
                        raise for_code(error_code)(f"{topic}/{number}")
                    if offset != _UNKNOWN_OFFSET:
                        found[self.names.ours(TopicPartition(topic, number))] = offset
            return found

        return await self._answer(ask, f"what group {group} has committed") if asked else {}

    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        """Return up to max_records records from these positions on, the first partition's first; without waiting."""
        extents = await self.extents(positions)
        for partition, position in positions.items():
            first, end = extents[partition]
            if not first <= position <= end:
                raise OffsetGoneError(partition, position, first, end)
        found: list[Delivery] = []
        for partition, position in positions.items():
            async for chunk in self._chunks(partition, position, extents[partition][1]):
                found += chunk[: max_records - len(found)]
                if len(found) >= max_records:
                    return found
        return found

    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        """Return the newest records with this key that are not older than since_ms, oldest first.

        Reads every partition in which the key may lie: a topic that has been given more partitions keeps older records
        of a key where they were, and nobody tells how many there were then.
        """
        partitions = await self.partitions(topic)
        numbers = {_placed(key, count) for count in range(1, len(partitions) + 1)}
        found = [await self._of_key(partitions[number], key, since_ms, max_records) for number in sorted(numbers)]
        return sorted((one for each in found for one in each), key=_age)[-max_records:]

    async def _of_key(self, partition: Partition, key: bytes, since_ms: int, max_records: int) -> Sequence[Delivery]:
        newest: deque[Delivery] = deque(maxlen=max_records)
        start = await self.offset_at(partition, since_ms)
        end = (await self._offsets({partition: _LATEST}))[partition]
        async for chunk in self._chunks(partition, start, end):
            # Offsets are not in the order of timestamps where several publish.
            newest += (one for one in chunk if one.record.key == key and one.record.timestamp_ms >= since_ms)
        return newest

    async def _chunks(self, partition: Partition, position: int, end: int) -> AsyncIterator[list[Delivery]]:
        """Yield what lies from position to end. Offsets that hold nothing for us are passed over."""
        while position < end:
            fetch = partial(self._fetch, partition, position)
            found, position = await self._answer(fetch, f"{partition.topic}/{partition.number}")
            yield [one for one in found if one.offset < end]

    async def _fetch(self, partition: Partition, position: int) -> tuple[list[Delivery], int]:
        """Return the records of one answer, and the position after them."""
        theirs = self.names.theirs(partition)
        asked = [(theirs.topic, [(theirs.partition, position, _FETCH_BYTES)])]
        request = FetchRequest(0, 1, _FETCH_BYTES, READ_COMMITTED, asked)
        response = await self._client.send(self._leader(theirs), request)
        [(_, [(_, error_code, _, *rest)])] = response.topics
        if error_code:
            raise for_code(error_code)(f"{theirs.topic}/{theirs.partition}")
        # Version 11 has the preferred replica between the aborted transactions and the records.
        aborted, data = rest[-3 if response.API_VERSION >= 11 else -2], rest[-1]
        records = PartitionRecords(theirs, MemoryRecords(data), aborted, position, None, None, True, READ_COMMITTED)
        found = [delivery(partition, one) for one in records]
        if records.next_fetch_offset <= position:
            raise LeaderNotAvailableError(theirs)  # one that was told less than the end we know of: ask again
        return found, records.next_fetch_offset

    async def _offsets(self, timestamps: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return, for each partition, the offset of the first record not older, or of an end; -1 for no record."""

        async def ask() -> dict[Partition, int]:
            by_node: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
            for partition, timestamp in timestamps.items():
                theirs = self.names.theirs(partition)
                by_node[self._leader(theirs)][theirs.topic].append((theirs.partition, timestamp))
            found = {}
            for node, topics in by_node.items():
                response = await self._client.send(node, OffsetRequest(-1, READ_COMMITTED, list(topics.items())))
                for topic, rows in response.topics:
                    for number, error_code, _, offset in rows:
                        if error_code:
                            raise for_code(error_code)(f"{topic}/{number}")
                        found[self.names.ours(TopicPartition(topic, number))] = offset
            return found

        return await self._answer(ask, "where the log begins and ends") if timestamps else {}

    def _leader(self, partition: TopicPartition) -> int:
        node = self._client.cluster.leader_for_partition(partition)
        if node is None or node == -1:
            raise LeaderNotAvailableError(partition)
        return int(node)

    async def _answer(self, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """Ask until there is an answer. Raises BusError."""
        reason: KafkaError | None = None
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        return await ask()
                    except KafkaError as error:
                        if not error.retriable:
                            raise BusError(f"the broker does not tell {what}: {error}") from error
                        reason = error
                    await self._client.force_metadata_update()
                    await asyncio.sleep(_RETRY_SECONDS)
        except TimeoutError:
            why = f" ({reason})" if reason else ""
            raise BusError(f"the broker does not tell {what} within {self._patience:g} s{why}") from reason

    async def __aenter__(self) -> Self:
        """Connect. Raises KafkaError if no broker answers, NotFoundError if topics are missing."""
        try:
            await self._client.bootstrap()
            deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
            while absent := set(self.names.topics) - (await self.topics()).keys():
                if asyncio.get_running_loop().time() >= deadline:
                    raise missing(self.names, sorted(absent))
                await asyncio.sleep(_RETRY_SECONDS)
            await self._client.set_topics([self.names.topic(topic) for topic in self.names.topics])
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.close()


def missing(names: Names, topics: Sequence[str]) -> NotFoundError:
    """Return the error that says how topics come to be."""
    said = ", ".join(names.topic(topic) for topic in topics)
    return NotFoundError(f"the broker has no topic {said}; `oscar-events topics create` makes ours")


def _placed(key: bytes, count: int) -> int:
    """Return where Kafka's clients put the key in a topic of so many partitions (aiokafka.partitioner)."""
    return int(murmur2(key) & 0x7FFFFFFF) % count


def _age(found: Delivery) -> tuple[int, Partition, int]:
    return found.record.timestamp_ms, found.partition, found.offset
