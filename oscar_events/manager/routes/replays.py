"""The routes of replays.

In:  requests below /api/replays. Out: what `Replays` answers, as JSON.
Not here: what is answered (manager/replays.py).
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.manager.replays import Replays
from oscar_events.manager.routes.parameters import document, page_size, read_moment


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be replayed. start, end: ISO 8601. at: where a preview goes on."""

    service: str
    start: str
    end: str
    as_new: bool = False
    at: list[tuple[int, int, int]] | None = None


_EXAMPLE = '{"service": "blur", "start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}'


def routes(replays: Replays) -> list[BaseRoute]:
    """Return the routes."""

    async def page(request: Request) -> Response:
        return JSONResponse(await replays.page(page_size(request)))

    async def unfinished(request: Request) -> Response:
        return JSONResponse(await replays.unfinished())

    async def begin(request: Request) -> Response:
        asked = await document(request, Wanted, _EXAMPLE)
        start, end = read_moment("start", asked.start), read_moment("end", asked.end)
        return JSONResponse(await replays.begin(asked.service, start, end, as_new=asked.as_new))

    async def preview(request: Request) -> Response:
        asked = await document(request, Wanted, _EXAMPLE)
        start, end = read_moment("start", asked.start), read_moment("end", asked.end)
        return JSONResponse(await replays.preview(asked.service, start, end, as_new=asked.as_new, at=asked.at))

    async def advance(request: Request) -> Response:
        return JSONResponse(await replays.advance(request.path_params["replay"]))

    async def show(request: Request) -> Response:
        return JSONResponse(await replays.show(request.path_params["replay"]))

    return [
        Route("/api/replays", begin, methods=["POST"]),
        Route("/api/replays", page),
        Route("/api/replays/preview", preview, methods=["POST"]),
        Route("/api/replays/unfinished", unfinished),
        Route("/api/replays/{replay}/advance", advance, methods=["POST"]),
        Route("/api/replays/{replay:path}", show),
    ]
