"""The source over HTTP: in which order it refuses, what it acknowledges, and never before the bus has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.types import Message

from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.codec import decode
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import BusError, EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.quarantine import Refused, refused_in
from oscar_events.record import Record
from oscar_ingest.sources import normalised as module
from oscar_ingest.sources import webhook as webhook_module
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import MAX_BODY_BYTES, Webhook, WebhookLimits
from tests.waiting import wait_until

TOKEN = "token-0123456789abcdef"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


def minio(key: str = "photos%2Fa.jpg", sequencer: str = "18E9F51C32EAEE80", event: str = "ObjectCreated:Put") -> bytes:
    """A notification as MinIO sends it (reference/event-formats.md §2.1), shortened to what identifies."""
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": f"s3:{event}",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {"name": "in", "arn": "arn:aws:s3:::in"},
            "object": {"key": key, "size": 5, "eTag": "5d41402abc4b2a76b9719d911017c592", "sequencer": sequencer},
        },
    }
    return json.dumps({"EventName": f"s3:{event}", "Records": [record]}).encode()


class WaitingBus(MemoryBus):
    """A bus whose acknowledgement can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        self.asked += 1
        await self.open.wait()
        return await super().publish(topic, records)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Sender:
    """One who sends requests to the app, without a server between: what it receives, and when, is the test's."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self.read = 0

    async def send(
        self,
        body: bytes | Callable[[], AsyncIterator[bytes]] = b"",
        headers: Mapping[str, str] = AUTHORIZED,
        *,
        method: str = "POST",
        path: str = "/ingest/minio",
    ) -> Answer | None:
        """Send a request; return the answer, None if there was none. body: its chunks, if it is no bytes; when these
        end with an exception of theirs, the sender is gone."""
        if isinstance(body, bytes):
            headers = {"Content-Length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": "",
            "query_string": b"",
            "server": ("127.0.0.1", 80),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        }
        chunks = self._chunks(body)
        answered: list[Message] = []

        async def receive() -> Message:
            return await anext(chunks)

        async def collect(message: Message) -> None:
            answered.append(message)

        await self._app(scope, receive, collect)
        await chunks.aclose()
        if not answered:
            return None
        sent = {name.decode(): value.decode() for name, value in answered[0]["headers"]}
        return Answer(answered[0]["status"], sent, b"".join(part.get("body", b"") for part in answered[1:]))

    async def _chunks(self, body: bytes | Callable[[], AsyncIterator[bytes]]) -> AsyncGenerator[Message, None]:
        self.read += 1
        if isinstance(body, bytes):
            yield {"type": "http.request", "body": body, "more_body": False}
        else:
            try:
                async for chunk in body():
                    yield {"type": "http.request", "body": chunk, "more_body": True}
                    self.read += 1
            except ConnectionResetError:
                pass
            else:
                yield {"type": "http.request", "body": b"", "more_body": False}
        while True:
            yield {"type": "http.disconnect"}

    async def accepted(self, body: bytes, headers: Mapping[str, str] = AUTHORIZED) -> dict[str, Any]:
        answer = await self.send(body, headers)
        assert answer is not None
        assert answer.status == 202, answer
        return answer.json


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path)
    directory.config.write_text(
        f"""
sources:
  minio: {{provider: minio.default, tokens: [{TOKEN}]}}
  messages: {{provider: local.default, tokens: [{TOKEN}], service: blur, tenant: lab}}
"""
    )
    directory.config.chmod(0o600)
    return directory


@pytest.fixture
def sources(directory: DataDirectory) -> ConfiguredSources:
    return ConfiguredSources(directory, load_config(directory))


@pytest.fixture
async def bus() -> AsyncIterator[WaitingBus]:
    async with WaitingBus() as bus:
        yield bus


@pytest.fixture
def webhook(bus: WaitingBus, sources: ConfiguredSources) -> Webhook:
    return Webhook(bus, sources, now=lambda: NOW)


@pytest.fixture
def sender(webhook: Webhook) -> Sender:
    return Sender(Starlette(routes=webhook.routes()))


async def on(bus: MemoryBus, topic: str) -> list[Record]:
    positions = {partition: (await bus.offsets(partition))[0] for partition in await bus.partitions(topic)}
    return [delivery.record for delivery in await bus.read(positions, 10_000)]


async def events(bus: MemoryBus) -> list[StorageEvent]:
    return [decode(record.value) for record in await on(bus, EVENTS)]


async def quarantine(bus: MemoryBus) -> list[Refused]:
    return [refused_in(record.value) for record in await on(bus, QUARANTINE)]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def held_back(bus: WaitingBus, requests: int = 1) -> AsyncIterator[None]:
    """Hold the bus's acknowledgements back once so many were asked for; let go at the end of the block."""
    bus.open.clear()
    yield
    bus.open.set()


class TestRefusing:
    """Each check comes before the one below it, and all of the first five before the body is read."""

    async def test_an_unknown_source_is_not_found_whatever_the_token(self, sender: Sender) -> None:
        for path in ("/ingest/other", "/ingest/", "/ingest/minio/", "/ingest/../ingest/minio", "/ingest/MINIO"):
            for headers in ({}, AUTHORIZED):
                answer = await sender.send(never, headers, path=path)
                assert answer is not None
                assert answer.status == 404
        assert sender.read == 0

    async def test_an_unknown_source_points_at_a_file_that_is_not_in_use_and_does_not_repeat_it(
        self, sender: Sender, directory: DataDirectory, sources: ConfiguredSources
    ) -> None:
        directory.config.write_text("sources: {other: {canary")
        await wait_until(lambda: sources.find("other") or sources.problem, "the file to be looked at")
        answer = await sender.send(never, {}, path="/ingest/other")
        assert answer is not None
        assert answer.status == 404
        pointer = "config.yaml is not in use: see the platform's log or `oscar-events doctor`"
        assert answer.json == {"error": f"there is no source 'other'; {pointer}"}

    async def test_a_source_of_storage_that_is_not_in_use_yet_is_told_to_come_again(
        self, sender: Sender, directory: DataDirectory, sources: ConfiguredSources, bus: WaitingBus
    ) -> None:
        directory.config.write_text(
            f"""
sources: {{two: {{provider: minio.two, tokens: [{TOKEN}]}}}}
storage_providers: {{minio: {{two: {{endpoint: "http://x", access_key: me, secret_key: canary}}}}}}
"""
        )
        await wait_until(lambda: sources.find("two"), "the source to be read")
        for method in ("POST", "GET", "HEAD"):
            answer = await sender.send(never, method=method, path="/ingest/two")
            assert answer is not None
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "minio.two is not in use before the platform is restarted" in answer.json["error"]
        stranger = await sender.send(never, {}, path="/ingest/two")
        assert stranger is not None
        assert stranger.status == 401
        assert (sender.read, bus.asked) == (0, 0)

    @pytest.mark.parametrize("authorization", [None, "", f"Basic {TOKEN}", "Bearer wrong", TOKEN])
    async def test_a_wrong_token_is_refused_without_reading_a_body_that_never_comes(
        self, sender: Sender, authorization: str | None
    ) -> None:
        headers = {"Content-Length": str(10 * MAX_BODY_BYTES)}
        if authorization is not None:
            headers["Authorization"] = authorization
        for method in ("POST", "GET", "HEAD", "DELETE", "OPTIONS"):
            answer = await sender.send(never, headers, method=method)
            assert answer is not None
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert sender.read == 0

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
    async def test_another_method_is_refused_and_told_which_there_are(self, sender: Sender, method: str) -> None:
        answer = await sender.send(never, AUTHORIZED, method=method)
        assert answer is not None
        assert (answer.status, answer.headers["allow"], sender.read) == (405, "POST, GET, HEAD, OPTIONS", 0)

    async def test_a_body_that_says_it_is_too_large_is_refused_unread(self, sender: Sender, bus: WaitingBus) -> None:
        answer = await sender.send(never, {**AUTHORIZED, "Content-Length": str(MAX_BODY_BYTES + 1)})
        assert answer is not None
        assert (answer.status, sender.read, bus.asked) == (413, 0, 0)

    async def test_a_body_without_a_length_is_read_up_to_the_limit_only(self, sender: Sender) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1024

        answer = await sender.send(endless)
        assert answer is not None
        # There may be no end of it, so that the connection has to go.
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert sender.read == MAX_BODY_BYTES // 1024 + 1

    async def test_the_limit_is_exact(self, sender: Sender, bus: WaitingBus) -> None:
        headers = {**AUTHORIZED, "Idempotency-Key": "largest"}
        answer = await sender.send(b"x" * MAX_BODY_BYTES, headers, path="/ingest/messages")
        assert answer is not None
        assert (answer.status, answer.json["accepted"]) == (202, 1)
        answer = await sender.send(b"x" * (MAX_BODY_BYTES + 1), headers, path="/ingest/messages")
        assert answer is not None
        assert answer.status == 413
        assert len(await events(bus)) == 1

    async def test_a_body_that_does_not_come_in_time_is_refused(
        self, bus: WaitingBus, sources: ConfiguredSources
    ) -> None:
        webhook = Webhook(bus, sources, WebhookLimits(seconds=0.01))
        answer = await Sender(Starlette(routes=webhook.routes())).send(never)
        assert answer is not None
        assert (answer.status, answer.headers["connection"], bus.asked) == (408, "close", 0)
        await webhook.close()  # nothing is in flight any more

    async def test_a_sender_that_takes_all_room_of_its_source_takes_none_of_another(
        self, bus: WaitingBus, sources: ConfiguredSources
    ) -> None:
        sender = Sender(Starlette(routes=Webhook(bus, sources, WebhookLimits(in_flight=1)).routes()))
        async with asyncio.TaskGroup() as tasks, held_back(bus):
            tasks.create_task(sender.send(minio()))
            await wait_until(lambda: bus.asked == 1, "the first to be on its way to the bus")
            other = tasks.create_task(sender.send(b"hello", path="/ingest/messages"))
            await wait_until(lambda: bus.asked == 2 or other.done(), "the other to be on its way to the bus")
        answer = other.result()
        assert answer is not None
        assert answer.status == 202

    async def test_more_requests_at_a_time_than_there_is_room_for_are_told_to_come_again(
        self, bus: WaitingBus, sources: ConfiguredSources
    ) -> None:
        sender = Sender(Starlette(routes=Webhook(bus, sources, WebhookLimits(in_flight=2)).routes()))
        async with asyncio.TaskGroup() as tasks, held_back(bus):
            first = [tasks.create_task(sender.send(minio(f"{number}"))) for number in range(2)]
            await wait_until(lambda: bus.asked == 2, "both to be on their way to the bus")
            third = await sender.send(minio("3"))
        assert third is not None
        assert (third.status, third.headers["retry-after"]) == (503, "1")
        assert [answer.status for task in first if (answer := task.result())] == [202, 202]
        assert await sender.accepted(minio("3"))


class TestAcknowledging:
    async def test_nothing_is_acknowledged_before_the_bus_has(self, sender: Sender, bus: WaitingBus) -> None:
        async with asyncio.TaskGroup() as tasks, held_back(bus):
            sending = tasks.create_task(sender.send(minio()))
            await wait_until(lambda: bus.asked == 1, "the request to be on its way to the bus")
            assert not sending.done()
        answer = sending.result()
        assert answer is not None
        [event] = await events(bus)
        assert answer.status == 202
        assert answer.json == {"accepted": 1, "ignored": 0, "quarantined": 0, "ids": [event.id]}

    async def test_quarantine_has_to_be_acknowledged_too(self, sender: Sender, bus: WaitingBus) -> None:
        bus.fail_next_publish(BusError("away"), stored=False)
        with structlog.testing.capture_logs() as lines:
            answer = await sender.send(b"junk without a service")
        assert answer is not None
        assert answer.status == 503
        assert not any("quarantined" in line["event"] for line in lines)
        with structlog.testing.capture_logs() as lines:
            await sender.accepted(b"junk without a service")
        assert [line["event"] for line in lines if "quarantined" in line["event"]] == ["input refused and quarantined"]

    async def test_nothing_should_be_sent_for_a_while_after_the_bus_did_not_acknowledge(
        self, sender: Sender, webhook: Webhook, bus: WaitingBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bus.fail_next_publish(BusError("no space left"), stored=False)
        await sender.send(minio())
        assert "no space left" in webhook.not_acknowledging
        monkeypatch.setattr(webhook_module, "_TRY_AGAIN_S", 0.0)
        await wait_until(lambda: not webhook.not_acknowledging, "it may be tried again")
        monkeypatch.undo()
        assert webhook.not_acknowledging
        await sender.accepted(minio())
        assert webhook.not_acknowledging == ""

    @pytest.mark.parametrize("stored", [False, True])
    async def test_a_bus_that_is_away_is_told_and_the_same_sent_again_is_the_same_event(
        self, sender: Sender, webhook: Webhook, bus: WaitingBus, stored: bool
    ) -> None:
        bus.fail_next_publish(BusError("no space left"), stored=stored)
        refused = await sender.send(minio())
        assert refused is not None
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "no space left" in webhook.trouble
        accepted = await sender.accepted(minio())
        assert webhook.trouble == ""
        assert {event.id for event in await events(bus)} == set(accepted["ids"])

    async def test_a_bus_that_does_not_answer_is_given_up_on(self, bus: WaitingBus, sources: ConfiguredSources) -> None:
        webhook = Webhook(bus, sources, WebhookLimits(seconds=0.01))
        async with held_back(bus):
            answer = await Sender(Starlette(routes=webhook.routes())).send(minio())
        assert answer is not None
        assert answer.status == 503
        assert "no acknowledgement within" in webhook.trouble

    async def test_what_was_under_way_when_the_source_closes_is_answered_and_nothing_after(
        self, sender: Sender, webhook: Webhook, bus: WaitingBus
    ) -> None:
        async with asyncio.TaskGroup() as tasks, held_back(bus):
            sending = tasks.create_task(sender.send(minio("before")))
            await wait_until(lambda: bus.asked == 1, "the request to be on its way to the bus")
            closing = tasks.create_task(webhook.close())
            await asyncio.wait([closing], timeout=0)
            late = await sender.send(minio("late"))
            assert not closing.done()
        assert late is not None
        assert late.status == 503
        answer = sending.result()
        assert answer is not None
        assert answer.status == 202
        assert [event.key for event in await events(bus)] == [b"before"]

    async def test_a_sender_that_leaves_before_all_has_come_sent_nothing(
        self, sender: Sender, webhook: Webhook, bus: WaitingBus
    ) -> None:
        async def half() -> AsyncIterator[bytes]:
            yield minio()[:50]
            raise ConnectionResetError

        assert await sender.send(half) is None
        assert bus.asked == 0
        await webhook.close()  # nothing is in flight any more


class TestUnderstanding:
    async def test_an_object_put_is_one_event_that_says_what_it_is(self, sender: Sender, bus: WaitingBus) -> None:
        await sender.accepted(minio("photos%2Fred+flower%2B%C3%A9%2541.jpg"))
        [event] = await events(bus)
        assert (event.bucket, event.key, event.size) == ("in", "photos/red flower+é%41.jpg".encode(), 5)
        assert (event.action, event.provider, event.adapter) == (Action.CREATED, "minio.default", "minio")
        assert event.recorded == NOW
        assert event.service_uids == ()
        assert event.raw.body == minio("photos%2Fred+flower%2B%C3%A9%2541.jpg")

    async def test_the_same_notification_twice_is_the_same_event_and_another_version_is_not(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        first, again = await sender.accepted(minio()), await sender.accepted(minio())
        other = await sender.accepted(minio(sequencer="18E9F51C42EAEE80"))
        assert first["ids"] == again["ids"] != other["ids"]

    async def test_provider_tenant_and_service_are_the_routes_and_never_the_bodys(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        claiming = {"provider": "minio.other", "tenant": "other", "service": "other", **json.loads(minio())}
        answer = await sender.send(json.dumps(claiming).encode(), path="/ingest/messages")
        assert answer is not None
        assert answer.status == 202
        [event] = await events(bus)
        assert (event.provider, event.tenant, event.service) == ("local.default", "lab", "blur")

    async def test_equal_messages_without_identity_are_two_and_with_a_key_one(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        for headers in ({}, {}, {"Idempotency-Key": "k1"}, {"Idempotency-Key": "k1"}):
            answer = await sender.send(b"hello", {**AUTHORIZED, **headers}, path="/ingest/messages")
            assert answer is not None
            assert answer.status == 202
        found = await events(bus)
        assert len({event.id for event in found}) == 3
        assert {event.raw.body for event in found} == {b"hello"}
        assert {event.action for event in found} == {Action.RECEIVED}

    async def test_what_is_meant_to_start_nothing_is_acknowledged_and_dropped(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        told = await sender.accepted(minio(event="ObjectAccessed:Get"))
        assert told == {"accepted": 0, "ignored": 1, "quarantined": 0, "ids": []}
        assert bus.asked == 0

    async def test_a_bad_record_goes_to_quarantine_and_the_good_ones_beside_it_are_events(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        both = json.loads(minio("good"))
        both["Records"] += json.loads(minio("bad%E9"))["Records"]
        told = await sender.accepted(json.dumps(both).encode())
        assert (told["accepted"], told["quarantined"]) == (1, 1)
        assert [event.key for event in await events(bus)] == [b"good"]
        [refused] = await quarantine(bus)
        assert "UTF-8" in refused.reason

    async def test_junk_is_kept_with_what_tells_what_it_is_and_never_with_the_token(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        headers = {
            "Content-Type": "text/plain",
            "User-Agent": "MinIO",
            "ce-odd": "1",
            "x-nifi-filename": "f",
            "Cookie": "no",
        }
        told = await sender.accepted(b"junk without a service", {**AUTHORIZED, **headers})
        assert told == {"accepted": 0, "ignored": 0, "quarantined": 1, "ids": []}
        [record] = await on(bus, QUARANTINE)
        assert TOKEN.encode() not in record.value
        refused = refused_in(record.value)
        assert (refused.source, refused.body) == ("minio", b"junk without a service")
        assert refused.headers == {
            "content-type": "text/plain",
            "user-agent": "MinIO",
            "ce-odd": "1",
            "x-nifi-filename": "f",
        }

    async def test_a_refused_part_is_kept_under_its_own_id_and_not_as_what_was_around_it(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        parts = [{"eventSource": "aws:sqs", "messageId": one, "body": f"not for a service {one}"} for one in "ab"]
        headers = {"Content-Type": "application/json", "Idempotency-Key": "of the request"}
        told = await sender.accepted(json.dumps({"Records": parts}).encode(), {**AUTHORIZED, **headers})
        assert told["quarantined"] == 2
        assert sorted((one.body[-1:], one.headers) for one in await quarantine(bus)) == [
            (b"a", {"idempotency-key": "a"}),
            (b"b", {"idempotency-key": "b"}),
        ]

    async def test_a_compressed_body_is_not_unpacked_but_kept(self, sender: Sender, bus: WaitingBus) -> None:
        told = await sender.accepted(b"\x1f\x8b", {**AUTHORIZED, "Content-Encoding": "gzip"})
        assert told["quarantined"] == 1
        assert (await quarantine(bus))[0].reason == "the body is compressed (gzip)"

    @pytest.mark.parametrize("fault", [EventError("unusable as a whole"), RecursionError("a bug of ours")])
    async def test_what_cannot_be_read_as_a_whole_never_blocks_its_senders_queue(
        self, sender: Sender, bus: WaitingBus, monkeypatch: pytest.MonkeyPatch, fault: Exception
    ) -> None:
        def broken(*_: object) -> None:
            raise fault

        monkeypatch.setattr(module, "normalise", broken)
        assert (await sender.accepted(b"body"))["quarantined"] == 1
        [refused] = await quarantine(bus)
        assert refused.body == b"body"
        assert str(fault) in refused.reason or type(fault).__name__ in refused.reason

    @pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
    async def test_an_empty_request_only_learns_that_the_source_is_there(
        self, sender: Sender, bus: WaitingBus, method: str
    ) -> None:
        answer = await sender.send(b"", AUTHORIZED, method=method)
        assert answer is not None
        assert (answer.status, bus.asked) == (200, 0)

    async def test_a_listed_object_that_is_told_by_headers_alone_is_an_event_and_a_broken_one_is_kept(
        self, sender: Sender, bus: WaitingBus
    ) -> None:
        listed = {"s3.bucket": "in", "filename": "photos/a.jpg", "s3.lastModified": "1795235427946"}
        assert (await sender.accepted(b"", AUTHORIZED | listed))["accepted"] == 1
        [event] = await events(bus)
        assert (event.bucket, event.key) == ("in", b"photos/a.jpg")
        assert (await sender.accepted(b"", AUTHORIZED | listed | {"s3.lastModified": "?"}))["quarantined"] == 1
        [refused] = await quarantine(bus)
        assert refused.headers == {"s3.bucket": "in", "filename": "photos/a.jpg", "s3.lastmodified": "?"}

    async def test_who_asks_for_permission_to_send_cloudevents_gets_it(self, sender: Sender) -> None:
        asking = {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"}
        answer = await sender.send(b"", asking, method="OPTIONS")
        assert answer is not None
        assert answer.status == 200
        assert answer.headers["webhook-allowed-origin"] == "eventemitter.example.com"
        assert answer.headers["webhook-allowed-rate"] == "*"


async def test_what_happens_is_counted_by_source(sender: Sender) -> None:
    def counts() -> list[float]:
        outcomes = [
            counted("oscar_events_source_records_total", source="minio", outcome=outcome)
            for outcome in ("accepted", "ignored", "quarantined")
        ]
        return [*outcomes, counted("oscar_events_source_requests_total", source="minio", status="401")]

    before = counts()
    await sender.accepted(minio())
    await sender.accepted(minio(event="ObjectAccessed:Get"))
    await sender.accepted(b"junk without a service")
    await sender.send(minio(), {})
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1, 1, 1, 1]
