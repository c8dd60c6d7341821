"""The routes of the past: why an object did or did not run, which events there were.

In:  requests for /api/why and /api/events. Out: what the control's journal answers, as JSON.
Not here: what is answered (manager/journal.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.codec import key_of
from oscar_events.errors import ConfigurationError
from oscar_events.manager.control import Control
from oscar_events.manager.routes.parameters import moment, number, page_size

# As on the command line: what people ask about happened today.
_BACK = timedelta(hours=24)
# Events of one object: each comes with a verdict per service.
_MAX_EVENTS = 50


def routes(control: Control) -> list[BaseRoute]:
    """Return the routes. An object is asked for as `bucket` and `subject`, its percent-encoded key (CloudEvents)."""

    async def why(request: Request) -> Response:
        asked = request.query_params
        bucket, subject = asked.get("bucket"), asked.get("subject")
        if not bucket or not subject:
            raise ConfigurationError("an object is asked for by bucket and subject; give both")
        answer = await control.journal.why(
            bucket,
            key_of(subject),
            since=moment(request, "since") or datetime.now(UTC) - _BACK,
            provider=asked.get("provider"),
            limit=number(request, "limit", _MAX_EVENTS) or _MAX_EVENTS,
        )
        return JSONResponse(answer)

    async def events(request: Request) -> Response:
        asked = request.query_params
        answer = await control.journal.events(
            limit=page_size(request),
            bucket=asked.get("bucket"),
            source=asked.get("source"),
            since=moment(request, "since"),
            after=asked.get("after"),
        )
        return JSONResponse(answer)

    return [Route("/api/why", why), Route("/api/events", events)]
