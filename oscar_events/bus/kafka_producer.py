"""Appends records to the broker's topics: all acknowledged by every in-sync replica, or an error in bounded time.

In:  records for a topic of the broker. Out: where each lies; or BusError, after which each may or may not be there.
Not here: which topics are ours (kafka.py), what a channel says of itself (kafka_channels.py).

aiokafka's idempotent producer repeats a batch for ever, and numbers batches: one that failed leaves a gap, after which
the broker refuses all that follow (OutOfOrderSequenceNumber). So a producer is used until the first failure of any of
its batches, or until a publish gets no answer at all in time; the next publish makes another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata

from oscar_events.bus.kafka_wire import METADATA_AGE_MS
from oscar_events.errors import BusError, ConfigurationError, EventError
from oscar_events.log import logger
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings

_log = logger(__name__)

# What waits while a request is under way goes out together: some hundred events, far below the least size of a record
# that a topic of ours takes, so that a batch is never refused for its size where each of its records is not.
_BATCH_BYTES = 64 * 1024
# Of a batch with one record, over the record itself: KIP-98's header, and the lengths in front of the fields.
_BATCH_OVERHEAD = 128


class KafkaProducer:
    """Publishes. An async context manager; it connects with the first publish: who only reads needs no right to write.

    connection: the arguments of a client, asked for each time one is made: a password may have been replaced.
    """

    def __init__(self, connection: Callable[[], Mapping[str, Any]], settings: KafkaSettings) -> None:
        self._patience = settings.delivery_timeout.total_seconds()
        self._largest = settings.topics.max_message_bytes
        self._connection = connection
        self._options: dict[str, Any] = {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": None if settings.compression == "none" else settings.compression,
            # No linger: what comes while a request is under way waits for it and is sent together anyway.
            "linger_ms": 0,
            "max_batch_size": _BATCH_BYTES,
            "max_request_size": self._largest,
            # A request that hangs is given up in time for a second one to succeed.
            "request_timeout_ms": round(self._patience * 500),
            "metadata_max_age_ms": METADATA_AGE_MS,
        }
        self._current: _Generation | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def send(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Append the records to a topic of the broker; return partition and offset of each, in the order given.

        Raises BusError; EventError, and then nothing was sent, if one is larger than the topics take.
        """
        for record in records:
            self._check_size(topic, record)
        used: _Generation | None = None
        answers: list[asyncio.Future[RecordMetadata]] = []
        acknowledged = 0
        try:
            async with asyncio.timeout(self._patience):
                used = await self._generation()
                acknowledged = used.acknowledged
                for record in records:
                    answers.append(await used.append(topic, record))
                placed = [await answer for answer in answers]
        except TimeoutError as error:
            if used is not None and used.acknowledged == acknowledged:
                self._give_up(used)
            raise BusError(
                f"{topic}: not acknowledged within {self._patience:g} s; the broker is away, or fewer of its replicas "
                "are in sync than the topic's min.insync.replicas"
            ) from error
        except ConfigurationError as error:  # of a file that was there when we began
            raise BusError(f"{topic}: {error}") from error
        except KafkaError as error:
            if used is not None:
                self._give_up(used)
            raise self._failure(topic, records, error) from error
        finally:
            _forget(answers)
        used.acknowledged += len(placed)
        return [(one.partition, one.offset) for one in placed]

    def _check_size(self, topic: str, record: Record) -> None:
        size = _BATCH_OVERHEAD + DefaultRecordBatchBuilder.estimate_size_in_bytes(
            record.key, record.value, list(record.headers)
        )
        if size > self._largest:
            raise EventError(
                f"{topic}: a record of {len(record.value):,} bytes takes {size:,}, more than the {self._largest:,} "
                "that kafka.topics.max_message_bytes allows"
            )

    def _failure(self, topic: str, records: Sequence[Record], error: KafkaError) -> BusError:
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            largest = max(len(record.value) for record in records)
            return BusError(
                f"{topic}: the broker takes no batch as large as one of these {len(records)} records, up to "
                f"{largest:,} bytes; raise the topic's max.message.bytes to kafka.topics.max_message_bytes "
                f"({self._largest:,}): `oscar-events topics check` says how"
            )
        if isinstance(error, ClusterAuthorizationFailedError | TopicAuthorizationFailedError):
            return BusError(
                f"the broker does not let us write to {topic}; an administrator allows it: kafka-acls.sh --add "
                f"--operation Write --topic {topic} ..."
            )
        if isinstance(error, UnknownTopicOrPartitionError):
            # Also said by a client that no broker has told of any topic yet, as while the broker hangs.
            return BusError(
                f"{topic}: no broker that answers knows this topic; if that lasts: `oscar-events topics check`"
            )
        return BusError(f"{topic}: not acknowledged: {error or type(error).__name__}")

    async def _generation(self) -> _Generation:
        if self._current is not None:
            return self._current
        async with self._starting:
            if self._current is None:
                self._current = await _Generation.start({**self._connection(), **self._options})
            return self._current

    def _give_up(self, used: _Generation) -> None:
        """Use another one from now on. Whoever else waits for this one is told that the outcome is unknown."""
        if used is not self._current:
            return
        self._current = None
        _log.warning("producer replaced")
        ending = asyncio.create_task(used.abandon(), name="kafka producer's end")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (current := self._current) is not None:
            self._current = None
            await current.abandon()  # whoever still publishes did not wait, and is told so
        if self._ending:
            await asyncio.wait(self._ending)


class _Generation:
    """One producer id. acknowledged: how many records so far."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.acknowledged = 0

    @classmethod
    async def start(cls, options: Mapping[str, Any]) -> _Generation:
        producer = AIOKafkaProducer(**options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()  # closes what was opened; there is nothing to flush
            raise
        # aiokafka's own callback breaks where nobody uses transactions, and asyncio prints a traceback each time
        # (Sender._fail_all, TransactionManager.fatal_error: `_transaction_waiter` is None).
        sending = producer._sender
        sending.sender_task.remove_done_callback(sending._fail_all)
        sending.sender_task.add_done_callback(partial(_fail_waiting, producer))
        return cls(producer)

    async def append(self, topic: str, record: Record) -> asyncio.Future[RecordMetadata]:
        answer: asyncio.Future[RecordMetadata] = await self._producer.send(
            topic, record.value, record.key, timestamp_ms=record.timestamp_ms, headers=list(record.headers)
        )
        return answer

    async def abandon(self) -> None:
        """Close without sending what waits: `stop` alone would send it first, for as long as the broker is away."""
        waiting = self._producer._message_accumulator
        waiting.fail_all(KafkaConnectionError("given up"))
        for batches in waiting._batches.values():
            _forget([batch._drain_waiter for batch in batches])
        # A batch on its way comes back to a queue that has forgotten it: KeyError.
        with suppress(KafkaError, KeyError):
            await self._producer.stop()
        await self._producer.client.close()


def _fail_waiting(producer: AIOKafkaProducer, sending: asyncio.Task[None]) -> None:
    """Tell whoever waits, and whoever comes, that the task that sends has died."""
    if not sending.cancelled() and (error := sending.exception()) is not None:
        producer._message_accumulator.fail_all(error)  # a KafkaError: aiokafka wraps what it does not foresee


def _forget(answers: Sequence[asyncio.Future[RecordMetadata]]) -> None:
    """See to it that an answer nobody waits for any more is not reported as an error nobody looked at."""
    for answer in answers:
        if not answer.done():
            answer.cancel()
        elif not answer.cancelled():
            answer.exception()
