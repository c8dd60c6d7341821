"""A receiver of webhooks that keeps what it is told, with the time; for tests that look at MinIO's notifications.

In:  POST requests on the loopback address. Out: their bodies, in the order they came.
Not here: the product's own webhook (oscar_ingest/sources/webhook.py).
"""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Told:
    """One request. at: by `time.perf_counter`, when its body was read."""

    path: str
    body: bytes
    at: float


@dataclass
class Receiver:
    """What came so far. Each request is answered 202 once it is kept."""

    url: str = ""
    told: list[Told] = field(default_factory=list)


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive until the block ends."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.told.append(Told(self.path, body, time.perf_counter()))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
