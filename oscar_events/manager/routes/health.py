"""The routes that need no token: is it alive, is it ready, what does it count.

In:  requests. Out: text and JSON.
Not here: what is counted (metrics.py, manager/gauges.py), who may ask (guard.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

# component -> why it is not ready, or not live; empty once all are
Ready = Callable[[], Mapping[str, str]]
# Brings the gauges up to date that are not counted as things happen.
Gauge = Callable[[], Awaitable[None]]


async def nothing_to_ask() -> None:
    """Bring nothing up to date: the gauge of a platform whose components count everything themselves."""


def routes(
    ready: Ready, troubles: Ready = dict, gauge: Gauge = nothing_to_ask, stalled: Ready = dict
) -> list[BaseRoute]:
    """Return the routes. troubles: component -> what somebody has to mend although everything runs.

    stalled: component -> what it has to do and does not get done: the process should be started anew (house rule 8).
    """

    async def livez(request: Request) -> Response:
        reasons = stalled()
        if not reasons:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("".join(f"{part}: {why}\n" for part, why in reasons.items()), status_code=503)

    async def readyz(request: Request) -> Response:
        reasons = dict(ready())
        answer = {"ready": not reasons, "reasons": reasons, "troubles": dict(troubles())}
        return JSONResponse(answer, status_code=503 if reasons else 200)

    async def metrics(request: Request) -> Response:
        await gauge()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
