"""What lies in quarantine: found newest first, looked into, sent again once, settled."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.cli.again import Quarantine as Asked
from oscar_events.cli.client import FrontClient
from oscar_events.cli.quarantine import readable
from oscar_events.datadir import DataDirectory, Up
from oscar_events.errors import BusError, ConfigurationError, NotFoundError
from oscar_events.manager.control import Control
from oscar_events.manager.quarantine import Quarantine
from oscar_events.notifications.port import Normalised, Notification, Route
from oscar_events.notifications.recognise import normalise
from oscar_events.quarantine import KEPT_BYTES, quarantine_record
from tests.contracts.ledger.making import file_event

EARLY = datetime(2026, 11, 1, tzinfo=UTC)
# MinIO's own form, with what makes it no event at first: no bucket.
CREATED: dict[str, Any] = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "pics/in/a.png",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "eventTime": "2026-11-01T10:00:00.000Z",
            "eventName": "s3:ObjectCreated:Put",
            "s3": {
                "bucket": {"name": "pics"},
                "object": {"key": "in%2Fa.png", "size": 3, "eTag": "e", "sequencer": "18A1B2C3D4E5F607"},
            },
        }
    ],
}
TOKEN = "0123456789abcdef"


@pytest.fixture
def quarantine(control: Control) -> Quarantine:
    return control.quarantine


@pytest.fixture
def configure(directory: DataDirectory) -> Callable[..., None]:
    def configure(**source: Any) -> None:
        path = directory.config
        source = {"provider": "minio.default", "tokens": [TOKEN], **source}
        path.write_text(json.dumps({"sources": {"minio": source}}))
        path.chmod(0o600)

    return configure


async def keep(
    bus: MemoryBus,
    body: bytes,
    source: str = "minio",
    reason: str = "no event",
    minute: int = 0,
    headers: dict[str, str] | None = None,
) -> str:
    """Put bytes in quarantine; return the record's id."""
    record = quarantine_record(body, source, reason, EARLY + timedelta(minutes=minute), headers)
    [(partition, offset)] = await bus.publish(QUARANTINE, [record])
    return f"{partition.number}-{offset}"


async def published(bus: MemoryBus) -> list[bytes]:
    """Return the values on the topic of events."""
    found = []
    for partition in await bus.partitions(EVENTS):
        first, _ = await bus.offsets(partition)
        found += [delivery.record.value for delivery in await bus.read({partition: first}, 1000)]
    return found


async def every(asked: Asked, limit: int, **filters: Any) -> list[str]:
    """Return all ids, page by page."""
    found: list[str] = []
    at = None
    while at is None or at:
        page = await asked.page(limit=limit, at=at, **filters)
        found += [record["id"] for record in page["records"]]
        at = page["at"]
    return found


async def test_records_come_newest_first_whatever_partition_they_lie_in(quarantine: Quarantine, bus: MemoryBus) -> None:
    kept = [await keep(bus, f"{number}".encode(), minute=number) for number in range(100)]
    assert {one.partition("-")[0] for one in kept} == {"0", "1"}
    assert await every(quarantine, 1000) == kept[::-1]
    assert await every(quarantine, 7) == kept[::-1]


async def test_records_are_found_by_source_reason_and_time(quarantine: Quarantine, bus: MemoryBus) -> None:
    one = await keep(bus, b"1", source="a", reason="The key is empty", minute=1)
    two = await keep(bus, b"2", source="b", reason="no bucket", minute=2)
    assert await every(quarantine, 10, source="a") == [one]
    assert await every(quarantine, 10, reason="the KEY") == [one]
    assert await every(quarantine, 10, since=EARLY + timedelta(minutes=2)) == [two]
    assert await every(quarantine, 10, since=EARLY + timedelta(minutes=3)) == []


async def test_a_page_ends_after_a_bounded_look_and_says_where_to_go_on(
    quarantine: Quarantine, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oscar_events.manager.quarantine_log._LOOKED_AT", 3)
    wanted = await keep(bus, b"first", source="rare")
    for number in range(10):
        await keep(bus, f"{number}".encode(), minute=number)
    page = await quarantine.page(source="rare")
    assert (page["records"], bool(page["at"])) == ([], True)
    assert await every(quarantine, 10, source="rare") == [wanted]


async def test_a_record_is_shown_with_what_is_known_of_it_and_its_bytes(quarantine: Quarantine, bus: MemoryBus) -> None:
    record = await keep(bus, b"\xff\0", reason="not JSON", headers={"user-agent": "x"})
    shown = await quarantine.show(record)
    assert (shown["source"], shown["reason"], shown["length"], shown["kept"]) == ("minio", "not JSON", 2, 2)
    assert (shown["headers"], shown["settled"], shown["time"]) == (
        {"user-agent": "x"},
        None,
        "2026-11-01T00:00:00.000Z",
    )
    assert await quarantine.body(record) == b"\xff\0"


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ("12", ConfigurationError),
        ("0-1-2", ConfigurationError),
        ("../0-1", ConfigurationError),
        ("0-0", NotFoundError),
        ("9-0", NotFoundError),
        ("0-" + "9" * 18, NotFoundError),
    ],
)
async def test_an_id_that_is_none_is_refused(quarantine: Quarantine, record: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await quarantine.show(record)


async def test_a_record_whose_retention_is_over_is_told_so(quarantine: Quarantine, bus: MemoryBus) -> None:
    record = await keep(bus, b"1")
    await bus.expire(int((EARLY + timedelta(days=30)).timestamp() * 1000))
    with pytest.raises(NotFoundError, match="its retention is over"):
        await quarantine.show(record)


async def test_what_a_source_sent_is_made_an_event_of_as_the_source_is_configured_now(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    record = await keep(bus, json.dumps(CREATED).encode(), headers={"content-type": "application/json"})
    [answer] = await quarantine.redrive([record])
    assert answer["verdict"] == "refused"
    assert "config.yaml has no source minio any more" in answer["reason"]
    configure()
    [answer] = await quarantine.redrive([record])
    assert answer == {"id": record, "verdict": "done", "reason": "", "events": 1}
    [value] = await published(bus)
    event = codec.decode(value)
    assert (event.provider, event.bucket, event.key) == ("minio.default", "pics", b"in/a.png")
    assert await every(quarantine, 10) == []
    assert await every(quarantine, 10, settled_too=True) == [record]
    [answer] = await quarantine.redrive([record])
    assert (answer["verdict"], answer["reason"]) == ("already", "it was redriven before")
    assert len(await published(bus)) == 1


async def test_what_is_refused_again_stays_with_the_new_reason_told(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    configure()
    record = await keep(bus, b"hello")  # a message, and the source names no service
    [answer] = await quarantine.redrive([record])
    assert answer["verdict"] == "refused"
    assert "names no service" in answer["reason"]
    assert await every(quarantine, 10) == [record]
    configure(service="blur")
    [answer] = await quarantine.redrive([record])
    assert (answer["verdict"], answer["events"]) == ("done", 1)


async def test_what_can_be_used_of_a_record_is_sent_and_the_rest_stays(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    configure()
    [good] = CREATED["Records"]
    bad = {**good, "s3": {**good["s3"], "bucket": {}}}
    record = await keep(bus, json.dumps({"Records": [good, bad]}).encode())
    for _ in range(2):
        [answer] = await quarantine.redrive([record])
        assert (answer["verdict"], answer["events"]) == ("refused", 1)
        assert answer["reason"] == ("1 events of it were sent, the rest is refused: s3.bucket.name is missing or empty")
    assert await every(quarantine, 10) == [record]
    assert len({codec.decode(value).id for value in await published(bus)}) == 1


@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/json"])
async def test_what_was_refused_as_compressed_is_no_message_of_compressed_bytes_now(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None], media_type: str
) -> None:
    configure(service="blur")
    headers = {"content-encoding": "gzip", "content-type": media_type}
    [answer] = await quarantine.redrive([await keep(bus, gzip.compress(b"hello"), headers=headers)])
    assert (answer["verdict"], answer["reason"]) == ("refused", "the body is compressed (gzip)")


async def test_one_that_breaks_its_normaliser_does_not_keep_the_others_from_being_sent(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(notification: Notification, route: Route) -> Normalised:
        if notification.body == b"poison":
            raise RecursionError("just then")
        return normalise(notification, route)

    monkeypatch.setattr("oscar_events.manager.quarantine.normalise", breaking)
    configure(service="blur")
    answers = await quarantine.redrive([await keep(bus, b"poison"), await keep(bus, b"hello")])
    assert [answer["verdict"] for answer in answers] == ["refused", "done"]
    assert "failed to read it (RecursionError)" in answers[0]["reason"]


async def test_a_message_sent_twice_because_of_a_kill_is_one_event(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    configure(service="blur")
    record = await keep(bus, b"hello")
    bus.fail_next_publish(BusError("killed just then"), stored=True)
    with pytest.raises(BusError):
        await quarantine.redrive([record])
    assert await every(quarantine, 10) == [record]
    await quarantine.redrive([record])
    first, second = (codec.decode(value) for value in await published(bus))
    assert first.id == second.id


async def test_two_equal_messages_stay_two_events(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    configure(service="blur")
    await quarantine.redrive([await keep(bus, b"hello"), await keep(bus, b"hello")])
    assert len({codec.decode(value).id for value in await published(bus)}) == 2


async def test_what_intake_refused_is_read_again(quarantine: Quarantine, bus: MemoryBus) -> None:
    event = file_event()
    good = await keep(bus, codec.encode(event).value, source=f"{EVENTS}/0@12")
    bad = await keep(bus, b"{", source=f"{EVENTS}/0@13")
    answers = await quarantine.redrive([good, bad])
    assert [answer["verdict"] for answer in answers] == ["done", "refused"]
    assert "not an oscar-events envelope" in answers[1]["reason"]
    assert [codec.decode(value) for value in await published(bus)] == [event]


@pytest.mark.parametrize(
    ("body", "source", "why"),
    [
        (b"x" * (KEPT_BYTES + 1), "minio", "only the first 262144 of its 262145 bytes were kept; have its sender"),
        (b"pics/in/a\0b", "folder", "the file's path itself was refused; rename"),
    ],
)
async def test_what_cannot_be_sent_again_says_why_and_what_to_do(
    quarantine: Quarantine, bus: MemoryBus, body: bytes, source: str, why: str
) -> None:
    [answer] = await quarantine.redrive([await keep(bus, body, source=source)])
    assert answer["verdict"] == "refused"
    assert answer["reason"].startswith(why)


async def test_a_purged_record_is_listed_no_more_and_not_sent(
    quarantine: Quarantine, bus: MemoryBus, configure: Callable[..., None]
) -> None:
    configure(service="blur")
    record = await keep(bus, b"hello")
    assert [answer["verdict"] for answer in await quarantine.purge([record])] == ["done"]
    assert [answer["verdict"] for answer in await quarantine.purge([record])] == ["already"]
    assert await every(quarantine, 10) == []
    [answer] = await quarantine.redrive([record])
    assert (answer["verdict"], answer["reason"]) == ("already", "it was purged before")
    assert await published(bus) == []


async def test_a_record_in_a_form_of_another_version_is_shown_and_refused(
    quarantine: Quarantine, bus: MemoryBus
) -> None:
    [(partition, offset)] = await bus.publish(QUARANTINE, [quarantine_record(b"", "a", "b", EARLY)])
    bus._logs[Partition(QUARANTINE, partition.number)].records[offset] = file_record()
    record = f"{partition.number}-{offset}"
    assert "this version cannot read" in (await quarantine.show(record))["reason"]
    [answer] = await quarantine.redrive([record])
    assert answer["verdict"] == "refused"


def file_record() -> Any:
    return codec.encode(file_event())


async def test_the_front_answers_about_the_quarantine_as_the_control_does(
    quarantine: Quarantine, bus: MemoryBus, up: Up, configure: Callable[..., None]
) -> None:
    configure(service="blur")
    kept = [await keep(bus, f"{number}".encode(), minute=number) for number in range(5)]
    asked = FrontClient(up).quarantine
    assert await asked.page(limit=2, source="minio", reason="event", since=EARLY) == await quarantine.page(limit=2)
    assert await every(asked, 2) == kept[::-1]
    assert await asked.show(kept[0]) == await quarantine.show(kept[0])
    assert await asked.body(kept[0]) == b"0"
    assert [one["verdict"] for one in await asked.redrive(kept[:2])] == ["done", "done"]
    assert [one["verdict"] for one in await asked.purge(kept[2:])] == ["done"] * 3
    assert await every(asked, 10) == []
    assert len(await every(asked, 10, settled_too=True)) == 5
    with pytest.raises(NotFoundError):
        await asked.show("0-99")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a": "\xc3\xbc"}\n', '{"a": "ü"}\n'),
        (b"\x1b[31mred", "00000000  1b 5b 33 31 6d 72 65 64                          .[31mred"),  # no escape codes
        (b"\xff" * 17, "00000010  ff"),
        (b"", ""),
    ],
)
def test_bytes_are_shown_as_text_only_if_a_terminal_can_show_them(body: bytes, shown: str) -> None:
    assert shown in readable(body)
