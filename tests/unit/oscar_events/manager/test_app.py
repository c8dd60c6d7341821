"""The HTTP front: who is let in, and that a client gets the answers and errors of the control itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oscar_events.cli.client import FrontClient
from oscar_events.datadir import Up
from oscar_events.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    OscarEventsError,
    UnavailableError,
)
from oscar_events.ledger.port import Ledger
from oscar_events.manager.app import MAX_BODY_BYTES, front
from oscar_events.manager.control import Control
from oscar_events.manager.routes.parameters import MAX_PAGE
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish

TOKEN = "the right one"


@pytest.fixture
def reasons() -> dict[str, str]:
    """Why the platform is not ready."""
    return {}


@pytest.fixture
def troubles() -> dict[str, str]:
    """What somebody has to mend although the platform is ready."""
    return {}


@pytest.fixture
def stalled() -> dict[str, str]:
    """What does not get done."""
    return {}


@pytest.fixture
async def up(
    control: Control, reasons: dict[str, str], troubles: dict[str, str], stalled: dict[str, str]
) -> AsyncIterator[Up]:
    async def heard(request: Request) -> Response:
        return JSONResponse({"authorization": request.headers.get("authorization")})

    routes = [Route("/ingest/{source}", heard)]
    app = front(control, TOKEN, lambda: reasons, routes, troubles=lambda: troubles, stalled=lambda: stalled)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            yield Up(0, listener.getsockname()[1], TOKEN)
            server.should_exit = True


@pytest.fixture
def client(up: Up) -> FrontClient:
    return FrontClient(up)


async def exchange(
    up: Up, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    def exchanged() -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = (answer.getheader("content-type") or "").startswith("application/json")
        return answer.status, json.loads(content) if is_json else {"text": content.decode()}

    return await asyncio.to_thread(exchanged)


BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/livez", {}, 200),  # open: asked by those who only want to know whether it lives
        ("/metrics", {}, 200),
        ("/api/runs", BEARER, 200),
        ("/api/runs", {}, 401),
        ("/api/runs", {"Authorization": "Bearer the wrong one"}, 401),
        ("/api/runs", {"Authorization": TOKEN}, 401),
        ("/nothing-here", {}, 401),  # who may not ask does not learn what there is
        ("/api/runs", {**BEARER, "Origin": "http://evil.example"}, 403),
        ("/api/runs", {**BEARER, "Origin": "null"}, 403),
        ("/metrics", {"Origin": "http://evil.example"}, 403),
        ("/api/runs", {**BEARER, "Host": "evil.example"}, 403),  # a name that resolves to 127.0.0.1
        ("/api/runs", {**BEARER, "Host": "127.0.0.1:1"}, 403),
        ("/ingest/minio", {}, 200),  # a source sees to its own tokens
        ("/ingest/minio", {"Host": "platform.example:8080"}, 200),  # by whatever name its sender knows this machine
        ("/ingest/minio", {"Origin": "http://evil.example"}, 403),
        ("/ingestion", {}, 401),
    ],
)
async def test_who_is_let_in(up: Up, path: str, headers: dict[str, str], status: int) -> None:
    assert (await exchange(up, "GET", path, headers))[0] == status


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
async def test_every_name_of_this_machine_is_a_host(up: Up, name: str) -> None:
    assert (await exchange(up, "GET", "/api/runs", {**BEARER, "Host": f"{name}:{up.port}"}))[0] == 200


async def test_a_component_that_makes_no_progress_is_named_to_whoever_restarts_what_does_not_live(
    up: Up, stalled: dict[str, str]
) -> None:
    assert await exchange(up, "GET", "/livez", {}) == (200, {"text": "ok\n"})
    stalled["dispatcher"] = "taking events in made no progress for 31 s"
    assert await exchange(up, "GET", "/livez", {}) == (
        503,
        {"text": "dispatcher: taking events in made no progress for 31 s\n"},
    )


async def test_the_platform_is_ready_when_every_component_is(
    up: Up, client: FrontClient, reasons: dict[str, str], troubles: dict[str, str]
) -> None:
    reasons["ingest"] = "listing"
    assert await exchange(up, "GET", "/readyz", {}) == (
        503,
        {"ready": False, "reasons": {"ingest": "listing"}, "troubles": {}},
    )
    assert not await client.is_ready()
    reasons.clear()
    troubles["config.yaml"] = "broken"  # what it said before stays in force: nothing stands still
    assert await exchange(up, "GET", "/readyz", {}) == (
        200,
        {"ready": True, "reasons": {}, "troubles": {"config.yaml": "broken"}},
    )
    assert await client.is_ready()


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b'{"services": [1]}', b"\xff"])
async def test_a_body_that_is_no_list_of_services_is_refused(up: Up, body: bytes) -> None:
    status, answer = await exchange(up, "POST", "/api/services", BEARER, body)
    assert (status, answer["kind"]) == (400, "ConfigurationError")


async def test_a_body_above_the_limit_is_refused(up: Up) -> None:
    assert (await exchange(up, "POST", "/api/services", BEARER, b"[" + b" " * MAX_BODY_BYTES))[0] == 413


@pytest.mark.parametrize("limit", ["0", "-1", "x", str(MAX_PAGE + 1), "9" * 5000, "²"])
async def test_a_limit_that_is_no_count_is_refused(client: FrontClient, limit: str) -> None:
    with pytest.raises(ConfigurationError, match="is no count"):
        await client.runs(limit=limit)  # type: ignore[arg-type]


async def test_the_client_answers_as_the_control_does(
    client: FrontClient, control: Control, ledger: Ledger, blur: dict[str, Any]
) -> None:
    [applied] = await client.apply([blur])
    await drop(ledger, "in/für %41+.png")
    epoch, leased = await begin(ledger, applied["uid"])
    await finish(ledger, epoch, leased, exit_code=1, log=bytes(range(256)))
    run = leased.execution
    assert await client.services() == await control.services()
    assert await client.service("blur") == await control.service("blur")
    assert await client.runs() == await control.runs()
    assert await client.runs(service="blur", state="dead", limit=1) == await control.runs()
    assert await client.run(run) == await control.run(run)
    assert await client.log(run, 1) == bytes(range(256))
    assert (await client.delete_service("blur", kill=True))["name"] == "blur"
    assert await client.services() == []


async def test_the_client_raises_what_the_control_does(
    client: FrontClient, ledger: Ledger, blur: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"^name: found the text B L; write a name of"):
        await client.apply([{**blur, "name": "B L"}])
    with pytest.raises(NotFoundError, match=r"^there is no service 'a/../b\?'$"):
        await client.service("a/../b?")
    [applied] = await client.apply([blur])
    await drop(ledger, "in/a.png")
    epoch, leased = await begin(ledger, applied["uid"])
    await finish(ledger, epoch, leased)
    with pytest.raises(ConflictError, match="has ended already"):
        await client.cancel(leased.execution)


async def test_a_client_with_an_old_token_is_told_where_the_token_is(up: Up) -> None:
    with pytest.raises(OscarEventsError, match=r"it is in up.json"):
        await FrontClient(msgspec.structs.replace(up, token="old")).runs()


async def test_a_platform_that_is_away_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    gone = FrontClient(Up(4711, free, TOKEN))
    assert not await gone.is_there()
    with pytest.raises(UnavailableError, match=r"process 4711, port \d+\) does not answer"):
        await gone.runs()


async def test_the_past_is_told_over_http_as_it_is_found(
    client: FrontClient, control: Control, ledger: Ledger, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await drop(ledger, "in/a b%41\u00e9.png")
    since = datetime.now(UTC) - timedelta(hours=1)
    asked: dict[str, Any] = {"since": since, "provider": "local.default", "limit": 3}
    for key in ("in/a b%41\u00e9.png".encode(), b"in/\xff\n+", b"in/none"):
        assert await client.journal.why("pics", key, **asked) == await control.journal.why("pics", key, **asked)
    assert (await client.journal.why("pics", "in/a b%41\u00e9.png".encode(), since=since))["events"]
    page = await client.journal.events(limit=5, bucket="pics", since=since)
    assert page == await control.journal.events(limit=5, bucket="pics", since=since)
    assert await client.journal.events(limit=5, after=page["next"]) == page
    with pytest.raises(ConfigurationError, match="no place in the log"):
        await client.journal.events(limit=5, after="nowhere")


@pytest.mark.parametrize(
    "path",
    ["/api/why", "/api/why?bucket=pics", "/api/why?bucket=b&subject=k&limit=51", "/api/why?bucket=b&subject=k&since=2"],
)
async def test_a_question_about_an_object_that_is_not_whole_is_refused(up: Up, path: str) -> None:
    status, answer = await exchange(up, "GET", path, BEARER)
    assert (status, answer["kind"]) == (400, "ConfigurationError")
