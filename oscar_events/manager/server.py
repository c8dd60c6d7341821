"""An HTTP server inside a process of the platform, for senders that are slow, hostile or about to be left.

In:  an application, an address. Out: answers, until cancelled.
Not here: the application (app.py, oscar_ingest/sources/webhook.py), the body's deadline (the source's own).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from oscar_events.errors import ConfigurationError

# Longer than the 90 s after which Go's clients, MinIO's among them, close an idle connection: a server that closes it
# may do so just when a notification is sent, and MinIO does not send that again.
_KEEP_ALIVE_S = 120
# For the answers that are under way when the platform stops: the bus commits within milliseconds.
_LAST_ANSWERS_S = 1.0
# From a request's first byte, or the connection's beginning, to the end of its head: what a whole request has.
HEAD_S = 10.0
# Of the 1,024 descriptors that a process usually has, what leaves room for files, broker and database.
MOST_CONNECTIONS = 768


class Server(uvicorn.Server):
    """uvicorn inside a platform whose signals belong to the platform, and which ends by being cancelled."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Deadlined,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_keep_alive=_KEEP_ALIVE_S,
                limit_concurrency=MOST_CONNECTIONS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        finally:
            for server in self.servers:  # uvicorn closes them only when it ends by itself
                server.close()


async def serve(server: Server, listener: socket.socket, closing: Callable[[], Awaitable[None]]) -> None:
    """Serve until cancelled; what `closing` waits for, a second at most, still gets its answer."""
    try:
        await server.serve(sockets=[listener])
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                await closing()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one. Raises ConfigurationError."""
    listener: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # asyncio turns Nagle's algorithm off for sockets that say they are TCP, and for no others: without it a sender
        # that keeps its connection waits 40 ms for each answer, as head and body are written one after the other.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except (OSError, UnicodeError) as error:  # the latter for what cannot be a host's name
        if listener is not None:
            listener.close()
        why = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {why}; name another address, or port 0 for a free one"
        ) from error
    return listener


class _Deadlined(H11Protocol):
    """uvicorn's HTTP, which by itself waits for ever for the end of a request's head."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._head = self.loop.call_later(HEAD_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the head is complete
            self._stop_waiting()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
