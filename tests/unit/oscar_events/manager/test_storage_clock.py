"""The clock of a store: asked without credentials, told to the second; one that does not tell is unavailable."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from oscar_events.errors import ConfigurationError, UnavailableError
from oscar_events.manager.storage_clock import storage_time

THEN = datetime(2020, 2, 29, 23, 59, 58, tzinfo=UTC)


class Store(BaseHTTPRequestHandler):
    """Refuses everybody, at a time of its own."""

    tells = "Sat, 29 Feb 2020 23:59:58 GMT"
    asked: dict[str, str]

    def do_HEAD(self) -> None:
        type(self).asked = dict(self.headers)
        self.send_response_only(403)
        if self.tells:
            self.send_header("Date", self.tells)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Store) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_store_that_refuses_tells_its_time_and_is_shown_no_key(endpoint: str) -> None:
    keys = {"access_key": "canary", "secret_key": "canary"}
    assert await storage_time("minio.default", {"type": "minio", "endpoint": endpoint, **keys}) == THEN
    assert "canary" not in str(Store.asked)


@pytest.mark.parametrize("tells", ["", "noon"])
async def test_one_that_does_not_tell_is_unavailable(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tells: str
) -> None:
    monkeypatch.setattr(Store, "tells", tells)
    with pytest.raises(UnavailableError, match=r"minio\.default at http://.* does not tell its time"):
        await storage_time("minio.default", {"endpoint": endpoint})


async def test_one_that_is_away_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="start it, or mend its endpoint"):
        await storage_time("minio.default", {"endpoint": "http://127.0.0.1:1"})


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "ftp://store", "http://"])
async def test_what_is_no_url_is_told(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="write a URL like"):
        await storage_time("minio.default", {"endpoint": endpoint})
