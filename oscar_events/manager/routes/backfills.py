"""The routes of backfills.

In:  requests below /api/backfills. Out: what `Backfills` answers, as JSON.
Not here: what is answered (manager/backfill.py).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.manager.backfill import STEP, Backfills
from oscar_events.manager.routes.parameters import document, read_moment


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be backfilled. since: ISO 8601."""

    service: str
    prefix: str = ""
    since: str | None = None
    as_new: bool = False
    dry_run: bool = False
    resume: str | None = None


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """How far to go. most: objects of the service."""

    most: Annotated[int, msgspec.Meta(ge=1)] = STEP


def routes(backfills: Backfills) -> list[BaseRoute]:
    """Return the routes."""

    async def begin(request: Request) -> Response:
        asked = await document(request, Wanted, '{"service": "blur"}')
        begun = await backfills.begin(
            asked.service,
            prefix=asked.prefix,
            since=None if asked.since is None else read_moment("since", asked.since),
            as_new=asked.as_new,
            dry_run=asked.dry_run,
            resume=asked.resume,
        )
        return JSONResponse(begun)

    async def advance(request: Request) -> Response:
        asked = await document(request, Step, f'{{"most": {STEP}}}')
        return JSONResponse(await backfills.advance(request.path_params["backfill"], asked.most))

    return [
        Route("/api/backfills", begin, methods=["POST"]),
        Route("/api/backfills/{backfill}/advance", advance, methods=["POST"]),
    ]
