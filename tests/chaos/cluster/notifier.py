"""What stands between MinIO and the ingests: it spreads notifications over them, tells some twice and some never.

In:  MinIO's webhooks, `FAST` (told once) and `DURABLE` (told until somebody answers). Out: the same at an ingest that
is there; a journal of what was acknowledged, by whom it does not matter, and of what was swallowed.
Not here: ingest, whether anything was lost (checker.py).

What is swallowed is acknowledged to MinIO on both roads: only a listing can still find it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import unquote_plus

# Names of its targets at the store, and of the roads here.
FAST, DURABLE = "FAST", "DURABLE"
_ACCEPTED = 202
_AWAY = 503
_SWALLOWED = 200
# More than a request may take before it is answered 503.
_TIMEOUT_S = 15.0


@dataclass
class Told:
    """The journal. accepted: objects, as bucket/key, of which an ingest said 202. swallowed: nobody was told of."""

    accepted: set[str] = field(default_factory=set)
    swallowed: set[str] = field(default_factory=set)
    twice: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a store that is killed leaves requests that nobody ends

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a store that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Notifier:
    """One server. receivers: ports of the ingests. twice, never: shares of the notifications."""

    def __init__(self, receivers: Sequence[int], seed: int, *, twice: float = 0.05, never: float = 0.01) -> None:
        self.told = Told()
        self.receivers = receivers
        self.swallow_too: set[str] = set()
        self._seed, self._random = seed, Random(seed)
        self.twice, self.never = twice, never
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="notifier")

    def url(self, road: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{road}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Notifier]:
        """Serve in the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def answer(self, road: str, body: bytes, headers: dict[str, str]) -> int:
        """Return the status for MinIO."""
        name = unquote_plus(json.loads(body)["Key"])
        if self._is_swallowed(name):
            self.told.swallowed.add(name)
            return _SWALLOWED
        status = self._forward(road, body, headers)
        if status == _ACCEPTED:
            self.told.accepted.add(name)
            if self._random.random() < self.twice:
                self.told.twice += 1
                self._forward(road, body, headers)
        return status

    def _is_swallowed(self, name: str) -> bool:
        """Decide by the name, so that both roads agree; swallow_too: names decided by hand."""
        if name in self.swallow_too:
            return True
        digest = hashlib.sha256(f"{self._seed} {name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.never * 2**64

    def _forward(self, road: str, body: bytes, headers: dict[str, str]) -> int:
        """Ask one ingest; on the durable road the next one if that is away."""
        ports = self._random.sample(list(self.receivers), len(self.receivers))
        for port in ports if road == DURABLE else ports[:1]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("POST", "/ingest/minio", body, headers)
                response = connection.getresponse()
                response.read()
                if response.status == _ACCEPTED:
                    return response.status
        return _AWAY

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        notifier = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
                self.send_response(notifier.answer(self.path.removeprefix("/"), body, kept))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the journal does."""

        return Handler
