"""The source that listens at MinIO keeps the contract of a source (source.py), against the real server.

Two tests of the suite are said in MinIO's terms: a bucket has three letters at least, and keys that are no UTF-8 or too
long are refused by the server itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count

import pytest

from oscar_events.event import Action
from oscar_events.notifications.port import Route
from oscar_ingest.sources.minio_listen import MinioListen
from oscar_ingest.sources.port import Source
from tests.contracts.source import Collector, SourceContract, running
from tests.testbed.minio_listening import ListeningMinio
from tests.testbed.s3_client import S3Error
from tests.waiting import wait_until

_NUMBERS = count(1)


class TestMinioListen(SourceContract):
    odd_keys = (*(key for key in SourceContract.odd_keys if key != b"\xff\xfe"), b"a%2Fb+c")

    @pytest.fixture(autouse=True)
    def _bucket(self, listening_minio: ListeningMinio) -> None:
        self.minio, self.bucket = listening_minio, f"listened-{next(_NUMBERS)}"
        self.minio.client.make_bucket(self.bucket)

    @pytest.fixture
    def source(self) -> Source:
        async def wanted() -> Mapping[str, frozenset[Action]]:
            return {self.bucket: frozenset({Action.CREATED})}

        return MinioListen(Route(source="minio", provider="minio.default"), self.minio.settings, wanted)

    def put_object(self, key: bytes, body: bytes) -> None:
        self.minio.client.put(self.bucket, key, body)

    async def test_an_object_put_is_one_event_that_says_what_it_is(self, source: Source, collector: Collector) -> None:
        before = time.time()
        async with running(source, collector):
            self.put_object(b"p/a.jpg", b"12345")
            await wait_until(lambda: collector.events, "the event")
        (event,) = collector.events.values()
        assert (event.bucket, event.key, event.size, event.action) == (self.bucket, b"p/a.jpg", 5, Action.CREATED)
        # MinIO cuts times to milliseconds.
        assert before - 0.1 <= event.time.timestamp() <= event.recorded.timestamp() + 0.1
        assert (event.service_uids, event.provider, event.adapter) == ((), "minio.default", "minio")
        assert event.raw.body.startswith(b'{"EventName"')

    async def test_a_key_too_long_is_refused_with_its_bytes(self, source: Source, collector: Collector) -> None:
        async with running(source, collector):
            with pytest.raises(S3Error):
                self.put_object(b"/".join([b"n" * 255] * 5), b"x")
            self.put_object(b"fine", b"x")
            await wait_until(lambda: collector.events, "the event")
        assert collector.keys() == {b"fine": 1}
