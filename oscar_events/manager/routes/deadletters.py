"""The routes of dead letters.

In:  requests below /api/deadletters. Out: what `DeadLetters` answers, as JSON.
Not here: what is answered (manager/deadletters.py).
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.manager.deadletters import DeadLetters
from oscar_events.manager.routes.parameters import document, moment, page_size


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters, and how they run again."""

    runs: list[str]
    same_revision: bool = False


_EXAMPLE = '{"runs": ["<id>"]}'


def routes(deadletters: DeadLetters) -> list[BaseRoute]:
    """Return the routes."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        found = await deadletters.page(
            service=asked.get("service"),
            failure=asked.get("failure"),
            since=moment(request, "since"),
            limit=page_size(request),
            before=asked.get("before"),
        )
        return JSONResponse(found)

    async def show(request: Request) -> Response:
        return JSONResponse(await deadletters.show(request.path_params["run"]))

    async def redrive(request: Request) -> Response:
        step = await document(request, Step, _EXAMPLE)
        return JSONResponse(await deadletters.redrive(step.runs, same_revision=step.same_revision))

    async def purge(request: Request) -> Response:
        step = await document(request, Step, _EXAMPLE)
        return JSONResponse(await deadletters.purge(step.runs))

    return [
        Route("/api/deadletters", page),
        Route("/api/deadletters/redrive", redrive, methods=["POST"]),
        Route("/api/deadletters/purge", purge, methods=["POST"]),
        Route("/api/deadletters/{run:path}", show),
    ]
