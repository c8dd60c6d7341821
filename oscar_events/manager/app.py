"""The HTTP front of a platform: what `Control` answers, as JSON, for those who hold the token.

In:  requests on 127.0.0.1. Out: JSON; errors as `{"error": ..., "kind": ...}` with a fitting status.
Not here: the routes (routes/), what is answered (control.py), who may speak at all (guard.py), the server (standalone).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from oscar_events.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    OscarEventsError,
    UnavailableError,
)
from oscar_events.manager.control import Control
from oscar_events.manager.guard import Guard
from oscar_events.manager.routes import backfills, deadletters, health, journal, quarantine, replays, runs, services
from oscar_events.manager.routes.health import Gauge, Ready, nothing_to_ask

# A service file holds at most 256 KiB, script included (fdl.py); this is a few of them in one apply.
MAX_BODY_BYTES = 1024 * 1024

# Which status an error becomes, and by which name the client knows it again; the first that fits.
_ANSWERS: tuple[tuple[type[OscarEventsError], int], ...] = (
    (ConfigurationError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    (OscarEventsError, 500),
)


def front(
    control: Control,
    token: str,
    ready: Ready,
    others: Sequence[BaseRoute] = (),
    *,
    troubles: Ready = dict,
    gauge: Gauge = nothing_to_ask,
    stalled: Ready = dict,
) -> Starlette:
    """Return the app. others: routes of other components, which see to it themselves who may use them (guard.py).

    ready, troubles, gauge, stalled: what /readyz, /metrics and /livez ask (routes/health.py).
    """
    return Starlette(
        routes=[
            *others,  # first: routes are tried one by one, and sources are asked most
            *health.routes(ready, troubles, gauge, stalled),
            *services.routes(control),
            *runs.routes(control),
            *deadletters.routes(control.deadletters),
            *quarantine.routes(control.quarantine),
            *replays.routes(control.replays),
            *backfills.routes(control.backfills),
            *journal.routes(control),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={OscarEventsError: _answer},
        max_body_size=MAX_BODY_BYTES,
    )


async def _answer(request: Request, error: Exception) -> Response:
    kind, status = next((kind, status) for kind, status in _ANSWERS if isinstance(error, kind))
    headers = {"Retry-After": "1"} if status == 503 else None  # whatever is away on one machine is back in seconds
    return JSONResponse({"error": str(error), "kind": kind.__name__}, status_code=status, headers=headers)
