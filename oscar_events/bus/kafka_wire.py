"""Between our words and Kafka's: names with the platform's prefix, partitions, records; and what aiokafka cannot ask.

In:  our topics and groups, Kafka's records and metadata. Out: theirs, and the other way round.
Not here: connections (kafka_connection.py), who asks what (kafka_log.py), who reads (kafka_member.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields
from aiokafka.structs import ConsumerRecord, TopicPartition

from oscar_events.bus.port import Delivery, Partition
from oscar_events.errors import NotFoundError
from oscar_events.record import Record

# How long after more partitions were made for a topic they are written to and read. Half a minute of one partition more
# or less is nothing; a question per half minute neither.
METADATA_AGE_MS = 30_000


class Names:
    """What our topics and groups are called on the broker."""

    def __init__(self, prefix: str, topics: Iterable[str]) -> None:
        self._prefix = prefix
        self._theirs = {topic: prefix + topic for topic in topics}
        self._ours = {name: topic for topic, name in self._theirs.items()}

    @property
    def topics(self) -> list[str]:
        """Return our topics, by our names."""
        return list(self._theirs)

    def topic(self, topic: str) -> str:
        """Return the broker's name of one of our topics. Raises NotFoundError for any other."""
        try:
            return self._theirs[topic]
        except KeyError:
            raise NotFoundError(f"no topic {topic}; there are {', '.join(self._theirs)}") from None

    def group(self, group: str) -> str:
        """Return the broker's name of one of our groups."""
        return self._prefix + group

    def theirs(self, partition: Partition) -> TopicPartition:
        """Return the partition as aiokafka names it."""
        return TopicPartition(self.topic(partition.topic), partition.number)

    def ours(self, partition: TopicPartition) -> Partition:
        """Return the partition as the port names it."""
        return Partition(self._ours[partition.topic], partition.partition)


def delivery(partition: Partition, found: ConsumerRecord[bytes, bytes]) -> Delivery:
    """Return a record as the port gives it. A value or header that is null, as others may write, is empty."""
    headers: tuple[tuple[str, bytes], ...] = found.headers
    for _, value in headers:
        if value is None:
            headers = tuple((name, value or b"") for name, value in headers)
            break
    return Delivery(partition, found.offset, Record(found.key, found.value or b"", found.timestamp, headers))


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic on the broker. partitions: their numbers, in order."""

    id: str
    partitions: tuple[int, ...]


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]  # aiokafka ships no types
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


# Version 10 is the first to tell a topic's id (KIP-516, Kafka 2.8); aiokafka 0.14 ends at version 5.
# https://github.com/apache/kafka/blob/4.0/clients/src/main/resources/common/message/MetadataResponse.json
class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[_MetadataRequest]):  # type: ignore[misc]
    """Asks for topics by name, and creates none, whatever the broker's auto.create.topics.enable says."""

    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        # By name is asked with an id of zeros.
        topics: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(uuid.UUID(int=0), name, {}) for name in self._names]
        return request_struct_class(topics, False, False, False, {})


def topics_found(response: Any) -> dict[str, TopicFound]:
    """Return the topics that are there, by the broker's names. Raises KafkaError if one of them cannot be told of."""
    found = {}
    for error_code, name, topic_id, _, partitions, *_ in response.topics:
        error = for_code(error_code)
        if error is UnknownTopicOrPartitionError:
            continue
        if error_code:
            raise error(name)
        found[name] = TopicFound(str(topic_id), tuple(sorted(number for _, number, *_ in partitions)))
    return found
