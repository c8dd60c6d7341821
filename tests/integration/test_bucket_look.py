"""What `apply` says of buckets on a real MinIO: of those that are missing, and of inputs nobody is told of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oscar_events.config import PlatformConfig, SourceConfig
from oscar_events.errors import UnavailableError
from oscar_events.manager.bucket_look import look_at_buckets
from oscar_events.manager.cluster import ClusterBuckets
from oscar_events.manager.watching import watching
from oscar_events.notifications.port import Route
from oscar_events.service import Service
from tests.testbed.minio import WEBHOOK, MinioServer, announcing, running_minio
from tests.testbed.notified import receiving
from tests.testbed.ports import free_port

WATCH = "tells nobody of what comes there, so only listings find it; run `oscar-events buckets watch --all`"


def config(settings: dict[str, str], **sources: SourceConfig) -> PlatformConfig:
    return PlatformConfig(sources, {"minio": {"default": settings}})


def service(input_bucket: str, output_bucket: str) -> Service:
    def place(path: str) -> list[dict[str, Any]]:
        return [{"storage_provider": "minio.default", "path": path}]

    document = {"name": "blur", "image": "x", "script": "true"}
    return Service.from_document(
        {**document, "input": place(f"{input_bucket}/in"), "output": place(f"{output_bucket}/out")}
    )


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A MinIO that has somebody to tell."""
    with receiving() as receiver:
        variables = announcing(receiver.url, "Bearer token")
        with running_minio(tmp_path_factory.mktemp("minio"), variables) as server:
            yield server


async def test_missing_buckets_are_told_and_nothing_is_refused(minio: MinioServer) -> None:
    found = ClusterBuckets(config(minio.settings))
    [[of_input, of_output]] = await found.look([service("no-such-in", "no-such-out")])
    assert of_input == "input[0]: minio.default has no bucket no-such-in; make it, like `mc mb ALIAS/no-such-in`"
    assert of_output.startswith("output[0]: minio.default has no bucket no-such-out; make it")


async def test_an_input_that_nobody_is_told_of_is_told_until_somebody_is(telling: MinioServer) -> None:
    telling.client.make_bucket("pics")
    here, wanted = config(telling.settings), service("pics", "pics")
    assert await look_at_buckets([wanted], here) == [[f"input[0]: minio.default {WATCH}"]]
    listening = SourceConfig(Route(source="told", provider="minio.default"), (), listens=True)
    assert await look_at_buckets([wanted], config(telling.settings, told=listening)) == [[]]
    telling.client.announce("pics", WEBHOOK, "in/")
    assert await look_at_buckets([wanted], here) == [[]]


async def test_a_store_that_is_away_or_refuses_the_keys_is_left_to_the_doctor(telling: MinioServer) -> None:
    for settings in (
        {**telling.settings, "endpoint": f"http://127.0.0.1:{free_port()}"},
        {**telling.settings, "secret_key": "not this one"},
    ):
        assert await look_at_buckets([service("no-such-in", "no-such-out")], config(settings)) == [[]]


async def test_where_nobody_listens_that_is_said_without_the_words_of_a_library() -> None:
    port = free_port()
    with pytest.raises(UnavailableError, match=r"the server is away \(Connection refused\)") as away:
        async with watching({"endpoint": f"http://127.0.0.1:{port}", "access_key": "a", "secret_key": "b"}) as store:
            await store.buckets()
    assert "ssl" not in str(away.value)
