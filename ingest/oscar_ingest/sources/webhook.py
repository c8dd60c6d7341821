"""The source of events over HTTP: `POST /ingest/<source>`, acknowledged once the bus has them.

In:  requests of MinIO, of anything that speaks CloudEvents, and of whatever else can send a body. Out: events on the
bus, unusable bytes in quarantine, and an answer that says how many of which.
Not here: which sources there are and who may send (configured.py), what the bytes mean (oscar_events/notifications),
reading a body within bounds (body.py).

It is no `Source` of port.py: those are watched, and a listing finds what they miss. Here somebody waits for an
acknowledgement, so nothing is buffered: one request is one publish, and 202 means durable. Authenticated bytes that are
no event get 202 as well: MinIO would send them for ever, and block its queue (design §3.3).
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from math import inf
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus
from oscar_events.codec import encode
from oscar_events.errors import UnavailableError
from oscar_events.log import logger
from oscar_events.notifications.port import Notification, Refusal, Route
from oscar_events.notifications.recognise import EMPTY
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record
from oscar_ingest.sources.body import BodyTooLargeError, SenderGoneError, read_body
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.kept_headers import kept_headers
from oscar_ingest.sources.normalised import count, normalised

_log = logger(__name__)

# An envelope with its base64 then fits one record of the bus, and one annotation of a Job (design §3.1).
MAX_BODY_BYTES = 128 * 1024
_METHODS = "POST, GET, HEAD, OPTIONS"
# Whatever is away on one machine is back in seconds.
_RETRY_AFTER = {"Retry-After": "1"}
# A sender with an old token tries for ever: one line in this time says so, the counter says how often.
_SAY_AGAIN_S = 60.0
# Two rounds of a load balancer that asks every 5 to 10 s.
_TRY_AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """What the senders of one source may take; those of the others have room of their own.

    in_flight: requests being read or published; with 128 KiB each at most 32 MiB, and as many as share a commit of the
    bus. seconds: for one request, from its head to the acknowledgement: 13 KB/s, and far from the 60 s after which
    MinIO gives up.
    """

    in_flight: int = 256
    seconds: float = 10.0


class Webhook:
    """All sources over HTTP. trouble: since when the bus has not acknowledged; empty while it does."""

    def __init__(
        self,
        bus: Bus,
        sources: ConfiguredSources,
        limits: WebhookLimits = WebhookLimits(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        import_module("oscar_events.notifications.cloudevents")  # 67 ms that no request should wait for
        self.trouble = ""
        self._failed_at = -inf
        self._bus, self._sources, self._limits, self._now = bus, sources, limits, now
        self._in_flight: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False
        self._refused_at: dict[str, float] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes. The limit of a body is this source's own, as it comes after the token."""
        return [HttpRoute("/ingest/{source:path}", endpoint=self, max_body_size=sys.maxsize)]

    async def close(self) -> None:
        """Refuse what comes from now on, and wait until all that came before is answered."""
        self._is_closed = True
        await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        name = scope["path_params"]["source"]
        if self._sources.find(name) is None:
            where = "config.yaml of the platform declares them"
            if self._sources.problem:  # its own words are not for strangers
                where = "config.yaml is not in use: see the platform's log or `oscar-events doctor`"
            answer = _refusal(404, f"there is no source {name!r}; {where}")
            name = ""  # of names that anybody can make up there is no end of time series
        else:
            try:
                answer = await self._answer(name, scope, receive)
            except SenderGoneError:
                metrics.source_requests.labels(name, "gone").inc()
                return
        metrics.source_requests.labels(name, str(answer.status_code)).inc()
        await answer(scope, receive, send)

    async def _answer(self, name: str, scope: Scope, receive: Receive) -> Response:
        """Return the answer; what is refused for its sender or size is refused before its body is read."""
        method, headers = scope["method"], _headers(scope)
        if method == "OPTIONS" and "webhook-request-origin" in headers:
            return _permission(headers["webhook-request-origin"])
        source = self._sources.admitting(name, headers.pop("authorization", "").encode("latin-1"))
        if source is None:
            self._say_refused(name)
            return _refusal(401, "the token of this source is missing or wrong", {"WWW-Authenticate": "Bearer"})
        if source.is_waiting:
            why = f"the storage provider {source.route.provider} is not in use before the platform is restarted"
            return _refusal(503, f"{why}; send it again after that", _RETRY_AFTER)
        if method in {"GET", "HEAD"}:
            return JSONResponse({"source": name})
        if method != "POST":
            return _refusal(405, f"{method} is not for sources; POST events", {"Allow": _METHODS})
        if int(headers.get("content-length", 0)) > MAX_BODY_BYTES:
            return _too_large()
        if self._is_closed or self._in_flight[name] >= self._limits.in_flight:
            why = "the platform is stopping" if self._is_closed else "too many requests at a time"
            return _refusal(503, f"{why}; send it again", _RETRY_AFTER)
        self._in_flight[name] += 1
        self._idle.clear()
        try:
            return await self._take(source.route, headers, receive)
        finally:
            self._in_flight[name] -= 1
            if not self._in_flight.total():
                self._idle.set()

    async def _take(self, route: Route, headers: Mapping[str, str], receive: Receive) -> Response:
        """Read, normalise, publish. Raises SenderGoneError, if the sender left before all had come."""
        body: bytes | None = None
        try:
            async with asyncio.timeout(self._limits.seconds):
                body = await read_body(receive, MAX_BODY_BYTES)
                return await self._publish(route, headers, body)
        except BodyTooLargeError:
            return _too_large(closing=True)
        except (TimeoutError, UnavailableError) as error:
            late = f"within {self._limits.seconds:g} s"
            if body is None:
                return _refusal(408, f"the body did not come {late}; send it again", {"Connection": "close"})
            self._say_away(str(error) or f"no acknowledgement {late}")
            return _refusal(503, "the log of events does not acknowledge; send it again", _RETRY_AFTER)

    async def _publish(self, route: Route, headers: Mapping[str, str], body: bytes) -> Response:
        """Bring what the body comes to on the bus. Raises UnavailableError: then any of it may be there, and sent again
        it is the same."""
        # As random as a UUID, without asking the kernel: nobody gains by guessing one.
        notification = Notification(body, headers, self._now(), f"{random.getrandbits(128):032x}")
        found = normalised(notification, route)
        if not body and found.ignored == (EMPTY.reason,):  # somebody looks whether we are here
            return JSONResponse({"source": route.source})
        events = [encode(event) for event in found.events]
        refused = [self._quarantined(refusal, route, headers) for refusal in found.refused]
        for topic, records in ((EVENTS, events), (QUARANTINE, refused)):
            if records:
                await self._bus.publish(topic, records)
        if self.trouble and (events or refused):
            _log.info("the bus acknowledges again")
            self.trouble = ""
        metrics.events_published.inc(len(events))
        metrics.events_quarantined.labels("ingest").inc(len(refused))
        for refusal in found.refused:
            _log.warning("input refused and quarantined", source=route.source, reason=refusal.reason)
        count(route.source, found)
        answer = {
            "accepted": len(events),
            "ignored": len(found.ignored),
            "quarantined": len(refused),
            "ids": [event.id for event in found.events],
        }
        return JSONResponse(answer, status_code=202)

    def _quarantined(self, refusal: Refusal, route: Route, headers: Mapping[str, str]) -> Record:
        had = headers if refusal.headers is None else refusal.headers
        return quarantine_record(refusal.body, route.source, refusal.reason, self._now(), kept_headers(had))

    @property
    def not_acknowledging(self) -> str:
        """Why nothing should be sent here for the moment, empty if it may: what was sent lately was not acknowledged.

        Not for longer than that: whoever is sent nothing never hears that the bus is back.
        """
        return self.trouble if time.monotonic() - self._failed_at <= _TRY_AGAIN_S else ""

    def _say_away(self, why: str) -> None:
        self._failed_at = time.monotonic()
        if not self.trouble:
            _log.error("events are refused, as the bus does not acknowledge", error=why)
            self.trouble = f"the bus has not acknowledged since {self._now():%Y-%m-%d %H:%M:%S} UTC: {why}"

    def _say_refused(self, source: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._refused_at.get(source, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
            self._refused_at[source] = now
            _log.warning("a sender without the right token is refused", source=source)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _permission(origin: str) -> Response:
    """Return CloudEvents' answer to "may I send you events?" (webhook specification 1.0.2, §4).

    It asks without a token, as it is no authorisation: each delivery still needs one.
    """
    return Response(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": _METHODS})


def _too_large(*, closing: bool = False) -> Response:
    """closing: whether to end the connection, as nobody knows how much is still to come."""
    why = f"a notification has at most {MAX_BODY_BYTES} bytes; put content in a bucket and send its event"
    return _refusal(413, why, {"Connection": "close"} if closing else None)


def _refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"error": why}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
