"""Toxiproxy: TCP links that are cut, slowed, silenced or reset while something uses them.

In:  the port something listens on. Out: a link, that is another port which leads there, and its faults.
Not here: which faults a test wants; the binary (toxiproxy_build.py).
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.testbed.ports import free_port
from tests.testbed.server import Server
from tests.testbed.toxiproxy_build import toxiproxy_binary


@dataclass(frozen=True, slots=True)
class Link:
    """One link. Faults add up until `heal`."""

    server: ToxiproxyServer
    name: str
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Drop what is connected, and refuse whoever comes."""
        self._set(enabled=False)

    def slow(self, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay each answer."""
        self._add("latency", latency=latency_ms, jitter=jitter_ms)

    def narrow(self, kilobytes_per_s: int) -> None:
        """Let so much through, each way."""
        self._add("bandwidth", rate=kilobytes_per_s)
        self._add("bandwidth", "upstream", rate=kilobytes_per_s)

    def swallow_answers(self) -> None:
        """Let requests through and nothing back: done, but the answer was lost."""
        self._add("timeout", timeout=0)

    def reset(self) -> None:
        """Reset each connection as soon as anything is sent on it."""
        self._add("reset_peer", timeout=0)

    def heal(self) -> None:
        """Make it a link without faults."""
        for toxic in self.server.ask("GET", f"/proxies/{quote(self.name)}/toxics"):
            self.server.ask("DELETE", f"/proxies/{quote(self.name)}/toxics/{toxic['name']}")
        self._set(enabled=True)

    def _add(self, toxic: str, stream: str = "downstream", **attributes: int) -> None:
        self.server.ask(
            "POST", f"/proxies/{quote(self.name)}/toxics", {"type": toxic, "stream": stream, "attributes": attributes}
        )

    def _set(self, *, enabled: bool) -> None:
        self.server.ask("POST", f"/proxies/{quote(self.name)}", {"enabled": enabled})


@dataclass
class ToxiproxyServer(Server):
    """The process that has all links."""

    directory: Path
    port: int = field(default_factory=free_port)

    def launch(self) -> None:
        self.run([toxiproxy_binary(), "-host", "127.0.0.1", "-port", str(self.port)])

    def is_ready(self) -> bool:
        try:
            self.ask("GET", "/proxies")
        except OSError:
            return False
        return True

    def link(self, name: str, to_port: int, port: int | None = None) -> Link:
        """Make a link to a port of this machine. name: no other link's."""
        made = Link(self, name, port or free_port())
        self.ask(
            "POST",
            "/proxies",
            {"name": name, "listen": made.address, "upstream": f"127.0.0.1:{to_port}", "enabled": True},
        )
        return made

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request to its API; return what it answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            text = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
        return json.loads(text) if text else None


@contextlib.contextmanager
def running_toxiproxy(directory: Path) -> Iterator[ToxiproxyServer]:
    """Start a server and end it with the block, whatever happened."""
    server = ToxiproxyServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
