"""A running platform, asked through its HTTP front.

In:  where it is found (up.json). Out: the answers of its `Control`, its errors as ours.
Not here: which road a command takes (platform.py).
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from oscar_events.datadir import Up
from oscar_events.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    OscarEventsError,
    UnavailableError,
)

# Everything the front does is a few milliseconds on this very machine: who does not answer by then hangs.
_TIMEOUT_S = 30.0
_KINDS = {kind.__name__: kind for kind in (ConfigurationError, NotFoundError, ConflictError, UnavailableError)}


class FrontClient:
    """The methods of `Control`, over HTTP; they raise what it raises, and UnavailableError if nobody answers."""

    def __init__(self, up: Up) -> None:
        self._up = up

    async def is_there(self) -> bool:
        """Return whether the front answers at all."""
        return await self._is_fine("/livez")

    async def is_ready(self) -> bool:
        """Return whether every component of the platform is ready."""
        return await self._is_fine("/readyz")

    async def apply(self, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return list(await self._json("POST", "/api/services", body=json.dumps(list(documents)).encode()))

    async def services(self) -> list[dict[str, Any]]:
        return list(await self._json("GET", "/api/services"))

    async def service(self, name: str) -> dict[str, Any]:
        return dict(await self._json("GET", f"/api/services/{quote(name, safe='')}"))

    async def delete_service(self, name: str, *, kill: bool = False) -> dict[str, Any]:
        query = {"kill": "true"} if kill else {}
        return dict(await self._json("DELETE", f"/api/services/{quote(name, safe='')}", query))

    async def runs(
        self,
        *,
        service: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        query = {"service": service, "state": state, "limit": limit, "before": before}
        return list(await self._json("GET", "/api/runs", query))

    async def run(self, run: str) -> dict[str, Any]:
        return dict(await self._json("GET", f"/api/runs/{quote(run, safe='')}"))

    async def cancel(self, run: str) -> dict[str, Any]:
        return dict(await self._json("POST", f"/api/runs/{quote(run, safe='')}/cancel"))

    async def log(self, run: str, attempt: int | None = None) -> bytes:
        return await self._ask("GET", f"/api/runs/{quote(run, safe='')}/log", {"attempt": attempt})

    async def _is_fine(self, path: str) -> bool:
        try:
            await self._ask("GET", path)
        except UnavailableError:
            return False
        return True

    async def _json(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: bytes | None = None
    ) -> Any:
        return json.loads(await self._ask(method, path, query, body))

    async def _ask(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: bytes | None = None
    ) -> bytes:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        return await asyncio.to_thread(self._exchange, method, target, body)

    def _exchange(self, method: str, target: str, body: bytes | None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._up.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {self._up.token}"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            who = f"the platform (process {self._up.pid}, port {self._up.port})"
            raise UnavailableError(
                f"{who} does not answer: {error or 'no answer'}; see its log, or restart it"
            ) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error(answer.status, content)
        return content


def _error(status: int, content: bytes) -> OscarEventsError:
    """Return the front's error as the one it was there."""
    try:
        said = json.loads(content)
        return _KINDS.get(said["kind"], OscarEventsError)(said["error"])
    except (ValueError, KeyError, TypeError):
        said = content.decode("utf-8", "replace").strip()
    kind = {404: NotFoundError, 413: ConfigurationError, 503: UnavailableError}.get(status, OscarEventsError)
    return kind(f"the platform answered {status}: {said}; its log says more")
