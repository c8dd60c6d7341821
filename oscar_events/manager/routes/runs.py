"""The routes of runs.

In:  requests below /api/runs. Out: what `Control` answers, as JSON; a log as bytes.
Not here: what is answered (manager/control.py).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.manager.control import Control
from oscar_events.manager.routes.parameters import number, page_size


def routes(control: Control) -> list[BaseRoute]:
    """Return the routes."""

    async def runs(request: Request) -> Response:
        asked = request.query_params
        found = await control.runs(
            service=asked.get("service"),
            state=asked.get("state"),
            limit=page_size(request),
            before=asked.get("before"),
        )
        return JSONResponse(found)

    async def run(request: Request) -> Response:
        return JSONResponse(await control.run(request.path_params["run"]))

    async def cancel(request: Request) -> Response:
        return JSONResponse(await control.cancel(request.path_params["run"]))

    async def log(request: Request) -> Response:
        found = await control.log(request.path_params["run"], number(request, "attempt"))
        return Response(found, media_type="application/octet-stream")

    return [
        Route("/api/runs", runs),
        Route("/api/runs/{run:path}/cancel", cancel, methods=["POST"]),
        Route("/api/runs/{run:path}/log", log),
        Route("/api/runs/{run:path}", run),
    ]
