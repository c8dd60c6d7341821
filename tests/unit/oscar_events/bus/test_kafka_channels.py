"""Publishing goes through what is declared, and nothing in the product reads the bus in a way that loses or spins."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from oscar_events.bus.kafka_channels import Channels
from oscar_events.bus.port import EVENTS, TOPICS
from oscar_events.errors import BusError
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings

ROOT = Path(__file__).parents[4]
SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="mine.")

# House rule 8.1; each was measured to lose records or to spin (reference/libraries.md §1.3).
FORBIDDEN_ARGUMENTS = {"max_workers", "auto_commit_interval_ms", "transactional_id"}
FORBIDDEN_NAMES = {"ACK_FIRST", "NACK_ON_ERROR", "REJECT_ON_ERROR"}


async def test_a_publish_goes_through_the_declared_publisher_as_it_is() -> None:
    sent: list[tuple[str, Sequence[Record]]] = []

    async def send(topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        sent.append((topic, records))
        return [(3, 17), (3, 18)]

    records = [Record(None, b"\x00", 1, (("a", b"\xff"), ("a", b""))), Record(b"", b"", 2)]
    assert await Channels(SETTINGS, TOPICS, send).publish(EVENTS, records) == [(3, 17), (3, 18)]
    assert sent == [("mine.oscar.events", tuple(records))]


async def test_what_the_producer_raises_comes_out_unchanged() -> None:
    async def send(topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        raise BusError("away")

    with pytest.raises(BusError, match=r"^away$"):
        await Channels(SETTINGS, TOPICS, send).publish(EVENTS, [Record(None, b"", 1)])


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for folder in ("oscar_events", "ingest", "dispatcher"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    yield path, node


def mistakes(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func).rsplit(".")[-1]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg}
    if name in ("subscriber", "KafkaBroker", "AIOKafkaConsumer"):
        yield from FORBIDDEN_ARGUMENTS & given.keys()
        yield from (value for value in given.values() if value.rsplit(".")[-1] in FORBIDDEN_NAMES)
    if name == "AIOKafkaConsumer":
        if given.get("enable_auto_commit") != "False":
            yield "no enable_auto_commit=False"
        if given.get("auto_offset_reset") != "'none'":
            yield "no auto_offset_reset='none'"
    if name == "KafkaBroker" and given.get("allow_auto_create_topics") != "False":
        yield "no allow_auto_create_topics=False"
    # Without a group nothing is committed; with one, FastStream commits by itself or all that was fetched.
    if name == "subscriber" and "group_id" in given:
        yield "a FastStream subscriber in a group"


def test_nothing_commits_by_itself_spins_or_begins_at_the_end() -> None:
    found = [f"{path.relative_to(ROOT)}:{call.lineno}: {what}" for path, call in calls() for what in mistakes(call)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "AIOKafkaConsumer(group_id='x', auto_offset_reset='none')",
        "AIOKafkaConsumer(group_id='x', enable_auto_commit=False)",
        "AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset='latest')",
        "broker.subscriber('t', max_workers=2)",
        "broker.subscriber('t', ack_policy=AckPolicy.ACK_FIRST)",
        "broker.subscriber('t', group_id='g', ack_policy=AckPolicy.MANUAL)",
        "KafkaBroker('x:1')",
    ],
)
def test_the_guard_sees(line: str) -> None:
    [call] = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    assert list(mistakes(call))
