"""Who may speak to the front at all: programs of this machine that hold the token, and no web page.

In:  every request. Out: the request passed on, or refused.
Not here: what the front answers (app.py).

The port is open to every user of the machine and to every page their browsers show. A page can send requests here, but
not without an `Origin`, or (by a name of its own that resolves to 127.0.0.1) not with our name as `Host`.

Sources see to their own tokens (oscar_ingest/sources/webhook.py), and their senders may know this machine by any name.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/livez", "/readyz", "/metrics"})
SOURCES = "/ingest/"
_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """ASGI middleware. token: what `Authorization: Bearer` must carry, for all but the open paths and the sources."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server's start and end
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        port = scope["server"][1]
        if "origin" in headers:
            return _refused(403, "web pages may not speak to this platform; use its command line")
        if scope["path"].startswith(SOURCES):
            return None
        if headers.get("host") not in {f"{name}:{port}" for name in _NAMES}:
            return _refused(403, f"the Host of a request to this platform is 127.0.0.1:{port}")
        if scope["path"] not in OPEN and not self._holds_token(headers.get("authorization", "")):
            return _refused(401, "the token is missing or wrong; it is in up.json of the data directory")
        return None

    def _holds_token(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)


def _refused(status: int, why: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": why, "kind": "OscarEventsError"}, status_code=status, headers=headers)
