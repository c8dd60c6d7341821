"""The HTTP front of a platform: what `Control` answers, as JSON, for those who hold the token.

In:  requests on 127.0.0.1. Out: JSON; errors as `{"error": ..., "kind": ...}` with a fitting status.
Not here: what is answered (control.py), who may speak at all (guard.py), the server (standalone.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from oscar_events.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    OscarEventsError,
    UnavailableError,
)
from oscar_events.manager.control import Control
from oscar_events.manager.guard import Guard

# A service file holds at most 256 KiB, script included (fdl.py); this is a few of them in one apply.
MAX_BODY_BYTES = 1024 * 1024
# What one answer may list: about 1 MiB of runs. `before` leads on.
MAX_PAGE = 1000

# Which status an error becomes, and by which name the client knows it again; the first that fits.
_ANSWERS: tuple[tuple[type[OscarEventsError], int], ...] = (
    (ConfigurationError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    (OscarEventsError, 500),
)

Ready = Callable[[], Mapping[str, str]]


def front(control: Control, token: str, ready: Ready) -> Starlette:
    """Return the app. ready: component -> why it is not ready; empty once all are."""
    routes = _Routes(control, ready)
    return Starlette(
        routes=[
            Route("/livez", routes.livez),
            Route("/readyz", routes.readyz),
            Route("/metrics", routes.metrics),
            Route("/api/services", routes.apply, methods=["POST"]),
            Route("/api/services", routes.services),
            # `path`: a name with a slash in it is one that is not there, no other route.
            Route("/api/services/{name:path}", routes.service),
            Route("/api/services/{name:path}", routes.delete_service, methods=["DELETE"]),
            Route("/api/runs", routes.runs),
            Route("/api/runs/{run:path}/cancel", routes.cancel, methods=["POST"]),
            Route("/api/runs/{run:path}/log", routes.log),
            Route("/api/runs/{run:path}", routes.run),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={OscarEventsError: _answer},
        max_body_size=MAX_BODY_BYTES,
    )


class _Routes:
    def __init__(self, control: Control, ready: Ready) -> None:
        self._control, self._ready = control, ready

    async def livez(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        reasons = dict(self._ready())
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    async def metrics(self, request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def apply(self, request: Request) -> Response:
        try:
            documents = msgspec.json.decode(await request.body(), type=list[dict[str, Any]])
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"the body is no JSON array of services: {error}; send one") from error
        return JSONResponse(await self._control.apply(documents))

    async def services(self, request: Request) -> Response:
        return JSONResponse(await self._control.services())

    async def service(self, request: Request) -> Response:
        return JSONResponse(await self._control.service(request.path_params["name"]))

    async def delete_service(self, request: Request) -> Response:
        kill = request.query_params.get("kill") == "true"
        return JSONResponse(await self._control.delete_service(request.path_params["name"], kill=kill))

    async def runs(self, request: Request) -> Response:
        asked = request.query_params
        found = await self._control.runs(
            service=asked.get("service"),
            state=asked.get("state"),
            limit=_number(request, "limit", MAX_PAGE) or MAX_PAGE,
            before=asked.get("before"),
        )
        return JSONResponse(found)

    async def run(self, request: Request) -> Response:
        return JSONResponse(await self._control.run(request.path_params["run"]))

    async def cancel(self, request: Request) -> Response:
        return JSONResponse(await self._control.cancel(request.path_params["run"]))

    async def log(self, request: Request) -> Response:
        log = await self._control.log(request.path_params["run"], _number(request, "attempt"))
        return Response(log, media_type="application/octet-stream")


def _number(request: Request, name: str, most: int | None = None) -> int | None:
    """Return a parameter that counts from 1, None if it is not given. Raises ConfigurationError."""
    text = request.query_params.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1 or (most is not None and number > most):
        bound = f" up to {most}" if most is not None else ""
        raise ConfigurationError(f"{name}={text!r} is no count; write a whole number from 1{bound}")
    return number


async def _answer(request: Request, error: Exception) -> Response:
    kind, status = next((kind, status) for kind, status in _ANSWERS if isinstance(error, kind))
    headers = {"Retry-After": "1"} if status == 503 else None  # whatever is away on one machine is back in seconds
    return JSONResponse({"error": str(error), "kind": kind.__name__}, status_code=status, headers=headers)
