"""The HTTP server: senders that are slow with their head, that are many, that come again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from oscar_events.errors import ConfigurationError
from oscar_events.manager import server
from oscar_events.manager.server import Server, listen, serve

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"


async def _fine(request: Request) -> Response:
    return PlainTextResponse("fine")


async def _nothing() -> None:
    """Nothing is under way."""


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    with listen("127.0.0.1", 0) as listener:
        running = asyncio.create_task(serve(Server(Starlette(routes=[Route("/", _fine)])), listener, _nothing))
        try:
            yield listener.getsockname()[1]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(b"fine"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.2)


@pytest.mark.parametrize("said", [b"", HEAD])
async def test_who_does_not_finish_the_head_is_left(impatient: None, said: bytes) -> None:
    async with serving() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await reader.read() == b""
        writer.close()


async def test_who_does_not_finish_the_head_of_a_later_request_is_left(impatient: None) -> None:
    async with serving() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await answer(reader)
        writer.write(HEAD)
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_may_stay_idle_between_requests(impatient: None) -> None:
    async with serving() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        slow = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await answer(reader)
        assert await slow[0].read() == b""  # left after the time for a head, which began later than ours
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await answer(reader)
        for one in (writer, slow[1]):
            one.close()


async def test_more_connections_than_there_is_room_for_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    async with serving() as port, asyncio.timeout(30):
        first = await asyncio.open_connection("127.0.0.1", port)
        second = await asyncio.open_connection("127.0.0.1", port)
        second[1].write(HEAD + b"\r\n")
        assert b"503" in await second[0].readuntil(b"\r\n")
        for _, writer in (first, second):
            writer.close()


def test_an_address_that_cannot_be_had_is_told_with_the_remedy() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: .*name another address"):
            listen("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match=r"cannot listen on nowhere\.invalid:80"):
        listen("nowhere.invalid", 80)
    with pytest.raises(ConfigurationError, match=r"cannot listen on a\.\.b:80: that is no name of a host"):
        listen("a..b", 80)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_may_be_of_ipv6() -> None:
    try:
        with listen("::1", 0) as listener:
            assert listener.family == socket.AF_INET6
    except ConfigurationError as error:
        pytest.skip(str(error))
