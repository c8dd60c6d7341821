"""A member of a group on a real broker while what it asks fails, is cancelled, or comes late.

In:  one broker, faults put into the client. Out: pass or fail.
Not here: what every bus promises (tests/contracts/bus.py), a broker that is away (test_kafka_bus_faults.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError

from oscar_events.bus import kafka_producer, kafka_session, kafka_watch
from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_member import KafkaMember
from oscar_events.bus.kafka_session import Session
from oscar_events.bus.kafka_wire import TopicFound
from oscar_events.bus.port import EVENTS, Consumer, Partition
from oscar_events.errors import BusError
from oscar_events.settings import KafkaSettings
from tests.contracts.bus import SHORT, numbered, numbers, take
from tests.testbed.kafka import KafkaCluster
from tests.testbed.topics import make_topics
from tests.waiting import wait_until


@pytest.fixture
async def settings(kafka_settings: KafkaSettings) -> KafkaSettings:
    await make_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
async def bus(settings: KafkaSettings) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(settings) as bus:
        yield bus


async def joined(consumer: Consumer) -> Session:
    """Poll until the member holds something; return its session."""
    assert isinstance(consumer, KafkaMember)

    async def holds() -> bool:
        await consumer.poll(max_records=1, max_wait=SHORT)
        return bool(consumer.assignment())

    await wait_until(holds, "an assignment")
    assert consumer._session is not None
    return consumer._session


async def test_a_question_that_is_not_answered_costs_no_record(bus: KafkaBus, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    answer = bus._log.topics

    async def every_other_time() -> dict[str, TopicFound]:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise BusError("asked for by the test")
        return await answer()

    async with bus.consumer([EVENTS], "readers") as consumer:
        await joined(consumer)
        monkeypatch.setattr(kafka_watch, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(bus._log, "topics", every_other_time)
        await bus.publish(EVENTS, numbered(range(20), key=b"k"))
        seen: list[int] = []

        async def all_seen() -> bool:
            with contextlib.suppress(BusError):
                seen.extend(numbers((await consumer.poll(max_records=3, max_wait=SHORT)).deliveries))
            return len(seen) >= 20

        await wait_until(all_seen, "every record")
    assert seen == list(range(20))
    assert asked > 2


async def test_a_partition_whose_end_nobody_tells_holds_the_others_not_up(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(partitions: Any) -> Any:
        await asyncio.Event().wait()

    async with bus.consumer([EVENTS], "readers") as consumer:
        await joined(consumer)
        monkeypatch.setattr(kafka_watch, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(kafka_watch, "_ANSWER_SECONDS", 0.01)
        monkeypatch.setattr(bus._log, "extents", never)
        await bus.publish(EVENTS, numbered(range(5), key=b"k"))
        assert numbers(await take(consumer, 5)) == list(range(5))


async def test_a_group_the_broker_does_not_take_is_told_to_who_polls(settings: KafkaSettings) -> None:
    """aiokafka tells only who fetches, and nobody fetches who holds nothing."""
    hasty = settings.model_copy(update={"session_timeout": timedelta(seconds=1)})  # Kafka takes none below 6 s
    async with KafkaBus(hasty) as bus, bus.consumer([EVENTS], "readers") as consumer:
        with pytest.raises(BusError, match=r"kafka\.session_timeout is not within"):
            await take(consumer, 1)


async def test_a_session_whose_task_died_of_an_error_is_closed_whole(bus: KafkaBus) -> None:
    def break_down(assignment: Any) -> Any:
        raise ValueError("asked for by the test")

    async with bus.consumer([EVENTS], "readers") as consumer:
        theirs = (await joined(consumer))._consumer
        theirs._fetcher._get_actions_per_node = break_down
        await bus.publish(EVENTS, numbered(range(5)))
        assert sorted(numbers(await take(consumer, 5))) == list(range(5))  # those fetched before may come from it
        await wait_until(lambda: _polled(consumer, theirs), "another session")
        assert not any(connection.connected() for connection in theirs._client._conns.values())


async def _polled(consumer: Consumer, before: Any) -> bool:
    assert isinstance(consumer, KafkaMember)
    await consumer.poll(max_records=10, max_wait=SHORT)
    return consumer._session is not None and consumer._session._consumer is not before


async def test_a_poll_that_is_cancelled_while_a_session_is_closed_leaves_no_member_behind(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, may_leave = asyncio.Event(), asyncio.Event()
    leave = Session._leave

    async def slowly(session: Session) -> None:
        leaving.set()
        await may_leave.wait()
        await leave(session)

    async with bus.consumer([EVENTS], "readers") as consumer:
        session = await joined(consumer)
        monkeypatch.setattr(Session, "_leave", slowly)
        session._consumer._fetcher._fetch_task.cancel()
        await wait_until(lambda: session.is_dead, "its task to end")
        polling = asyncio.create_task(consumer.poll(max_records=1, max_wait=SHORT))
        await leaving.wait()
        polling.cancel()
        await asyncio.wait([polling])
        may_leave.set()
    assert session._consumer._closed
    assert session._consumer._coordinator._heartbeat_task is None


async def test_who_lets_go_too_late_keeps_what_it_was_given_since(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_session, "HANDOVER_SECONDS", 0.2)
    letting_go, may_end = asyncio.Event(), asyncio.Event()

    async def slowly(partitions: frozenset[Partition]) -> None:
        letting_go.set()
        await may_end.wait()

    async with bus.consumer([EVENTS], "pair", on_revoked=slowly) as slow:
        session = await joined(slow)
        before = session.tenure
        async with bus.consumer([EVENTS], "pair") as other:

            async def others_hold() -> bool:
                await other.poll(max_records=1, max_wait=SHORT)
                return bool(other.assignment())

            async def poll() -> list[int]:
                return numbers(await take(slow, 1))

            polling = asyncio.create_task(poll())
            await wait_until(others_hold, "the other's share")
            assert letting_go.is_set()
            await wait_until(lambda: session.tenure not in (None, before), "the share that is left")
            may_end.set()
            for partition in slow.assignment():
                assert partition not in other.assignment()
            await bus.publish(EVENTS, numbered(range(50)))  # some of them lie in each partition
            assert await polling


async def test_who_only_reads_makes_no_producer(
    settings: KafkaSettings, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker gives an idempotent producer its id only if it may write."""

    class Refused:
        def __init__(self, **options: Any) -> None:
            pass

        async def start(self) -> None:
            raise ClusterAuthorizationFailedError

        async def stop(self) -> None:
            pass

    await bus.publish(EVENTS, numbered([1]))
    monkeypatch.setattr(kafka_producer, "AIOKafkaProducer", Refused)
    async with KafkaBus(settings) as reading:
        async with reading.consumer([EVENTS], "readers") as consumer:
            assert numbers(await take(consumer, 1)) == [1]
        with pytest.raises(BusError, match=r"does not let us write to .*oscar\.events; .*kafka-acls\.sh"):
            await reading.publish(EVENTS, numbered([2]))


async def test_a_password_that_was_replaced_is_used_by_the_next_producer(
    kafka: KafkaCluster, settings: KafkaSettings, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(kafka.users["alice"])
    secure = settings.model_copy(
        update={
            "bootstrap_servers": kafka.sasl_bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_username": "alice",
            "sasl_password_file": secret,
            "ca_file": kafka.ca,
        }
    )
    async with KafkaBus(secure) as bus:
        secret.write_text("another")
        with pytest.raises(BusError):
            await bus.publish(EVENTS, numbered([1]))
        secret.unlink()
        with pytest.raises(BusError, match="sasl_password_file"):
            await bus.publish(EVENTS, numbered([1]))
        secret.write_text(kafka.users["alice"])
        assert await bus.publish(EVENTS, numbered([1]))
