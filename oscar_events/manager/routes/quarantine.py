"""The routes of the quarantine.

In:  requests below /api/quarantine. Out: what `Quarantine` answers, as JSON; a record's bytes as they are.
Not here: what is answered (manager/quarantine.py).
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.errors import ConfigurationError
from oscar_events.manager.quarantine import Quarantine
from oscar_events.manager.quarantine_log import Bound
from oscar_events.manager.routes.parameters import document, flag, moment, page_size


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """Which records."""

    records: list[str]


_EXAMPLE = '{"records": ["0-12"]}'


def routes(quarantine: Quarantine) -> list[BaseRoute]:
    """Return the routes."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        found = await quarantine.page(
            source=asked.get("source"),
            reason=asked.get("reason"),
            since=moment(request, "since"),
            settled_too=flag(request, "settled_too"),
            limit=page_size(request),
            at=_bounds(asked.get("at")),
        )
        return JSONResponse(found)

    async def show(request: Request) -> Response:
        return JSONResponse(await quarantine.show(request.path_params["record"]))

    async def body(request: Request) -> Response:
        kept = await quarantine.body(request.path_params["record"])
        return Response(kept, media_type="application/octet-stream")

    async def redrive(request: Request) -> Response:
        step = await document(request, Step, _EXAMPLE)
        return JSONResponse(await quarantine.redrive(step.records))

    async def purge(request: Request) -> Response:
        step = await document(request, Step, _EXAMPLE)
        return JSONResponse(await quarantine.purge(step.records))

    return [
        Route("/api/quarantine", page),
        Route("/api/quarantine/redrive", redrive, methods=["POST"]),
        Route("/api/quarantine/purge", purge, methods=["POST"]),
        Route("/api/quarantine/{record}/body", body),
        Route("/api/quarantine/{record:path}", show),
    ]


def _bounds(text: str | None) -> list[Bound] | None:
    """Return from where to go on, as the page before told. Raises ConfigurationError."""
    if text is None:
        return None
    try:
        return [tuple(bound) for bound in msgspec.json.decode(text, type=list[tuple[int, int]])]
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"at={text!r} is not what the page before told: {error}; leave it out") from error
