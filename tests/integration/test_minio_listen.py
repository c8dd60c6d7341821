"""Listening at a MinIO that is missing something, away, slow or mute: said, tried again, and a listing asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from oscar_events import minio_client
from oscar_events.errors import LedgerError
from oscar_events.event import Action
from oscar_events.notifications.port import Route
from oscar_ingest.sources.minio_listen import ListenPace, MinioListen
from tests.contracts.source import Collector, running
from tests.testbed.minio import MinioServer
from tests.testbed.minio_listening import ListeningMinio
from tests.waiting import wait_until

CREATED = frozenset({Action.CREATED})
# Everything at once, as nobody else needs the server.
PACE = ListenPace(look=0.01, first_wait=0.01, longest_wait=0.05)


class Wishes:
    """Which buckets are wanted; None = the ledger is away."""

    def __init__(self, *buckets: str) -> None:
        self.buckets: Mapping[str, frozenset[Action]] | None = dict.fromkeys(buckets, CREATED)

    async def __call__(self) -> Mapping[str, frozenset[Action]]:
        if self.buckets is None:
            raise LedgerError("away")
        return self.buckets


def listening(minio: MinioServer, wishes: Wishes, **settings: str) -> MinioListen:
    return MinioListen(Route(source="heard", provider="minio.default"), {**minio.settings, **settings}, wishes, PACE)


async def test_a_bucket_that_is_missing_is_said_and_heard_once_it_is_made(listening_minio: ListeningMinio) -> None:
    source, heard = listening(listening_minio, Wishes("made-later")), Collector()
    async with running(source, heard):
        assert "there is no such bucket; make it first" in source.trouble
        listening_minio.client.make_bucket("made-later")
        await wait_until(lambda: not source.trouble, "it is listened to")
        assert heard.gaps == 1
        listening_minio.client.put("made-later", b"a", b"x")
        await wait_until(lambda: heard.events, "the event")


async def test_wrong_keys_are_said_and_end_nothing(listening_minio: ListeningMinio) -> None:
    source, heard = listening(listening_minio, Wishes("any-bucket"), secret_key="another-secret"), Collector()
    async with running(source, heard):
        assert "refuses the keys (SignatureDoesNotMatch); correct access_key and secret_key" in source.trouble
        assert heard.gaps == 0


async def test_buckets_are_followed_as_services_come_and_go(listening_minio: ListeningMinio) -> None:
    for bucket in ("followed-1", "followed-2"):
        listening_minio.client.make_bucket(bucket)
    wishes = Wishes("followed-1")
    source, heard = listening(listening_minio, wishes), Collector()
    async with running(source, heard):
        wishes.buckets = dict.fromkeys(("followed-1", "followed-2"), CREATED)
        await wait_until(lambda: heard.gaps == 2, "the second one is listened to")
        wishes.buckets = None  # nobody knows: it goes on with those of before
        listening_minio.client.put("followed-1", b"a", b"x")
        listening_minio.client.put("followed-2", b"b", b"x")
        await wait_until(lambda: len(heard.events) == 2, "both events")
        wishes.buckets = dict.fromkeys(("followed-2",), CREATED | {Action.REMOVED})
        await wait_until(lambda: heard.gaps == 3, "it is listened to for removals too")
        listening_minio.client.put("followed-1", b"c", b"x")
        listening_minio.client.remove("followed-2", b"b")
        await wait_until(lambda: len(heard.events) == 3, "the removal")
    assert [event.action for event in heard.events.values()].count(Action.REMOVED) == 1


async def test_each_connection_asks_for_a_listing(own_minio: ListeningMinio) -> None:
    own_minio.client.make_bucket("pics")
    source, heard = listening(own_minio, Wishes("pics")), Collector()
    async with running(source, heard):
        assert heard.gaps == 1
        await asyncio.to_thread(own_minio.kill)
        await wait_until(lambda: "the server is away" in source.trouble, "it is said to be away")
        await asyncio.to_thread(own_minio.start)
        await wait_until(lambda: heard.gaps == 2 and not source.trouble, "it is listened to again")
        own_minio.client.put("pics", b"a", b"x")
        await wait_until(lambda: heard.events, "the event")


async def test_a_server_that_falls_silent_is_left_and_tried_again(
    own_minio: ListeningMinio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minio_client, "SILENCE_S", 2.0)  # it sends a blank each half second
    own_minio.client.make_bucket("pics")
    source, heard = listening(own_minio, Wishes("pics")), Collector()
    async with running(source, heard):
        own_minio.pause()
        await wait_until(lambda: source.trouble, "its silence is noticed")
        own_minio.resume()
        await wait_until(lambda: heard.gaps == 2 and not source.trouble, "it is listened to again")


async def test_what_cannot_be_taken_in_time_is_left_to_a_listing(listening_minio: ListeningMinio) -> None:
    listening_minio.client.make_bucket("slowly-read")
    heard = Collector()
    route, pace = Route(source="heard", provider="minio.default"), ListenPace(keeps_up=0.0)
    source = MinioListen(route, listening_minio.settings, Wishes("slowly-read"), pace)
    async with running(source, heard):
        assert heard.gaps == 1
        listening_minio.client.put("slowly-read", b"a", b"x")
        await wait_until(lambda: heard.gaps == 2, "a listing is asked for")


async def test_the_last_release_which_never_answers_is_told_apart(
    minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minio_client, "SILENCE_S", 1.0)
    minio.client.make_bucket("mute")
    source, heard = listening(minio, Wishes("mute")), Collector()
    async with running(source, heard):
        assert "minio/minio#21651" in source.trouble
        assert "use a webhook (`oscar-events buckets watch`)" in source.trouble
        assert heard.gaps == 0
