"""One exchange with the HTTP front of a running platform.

In:  method, path, query, body. Out: the answer's bytes or JSON; the front's errors as ours.
Not here: which questions there are (client.py).
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

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


class Front:
    """Asks the platform that `up` speaks of. Raises what its `Control` raises, UnavailableError if nobody answers."""

    def __init__(self, up: Up, timeout_s: float = _TIMEOUT_S) -> None:
        self._up, self._timeout_s = up, timeout_s

    async def ask(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: bytes | None = None
    ) -> bytes:
        """Return the bytes of the answer. query: parameters that are None are left out, booleans are true or false."""
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        status, content = await asyncio.to_thread(self._exchange, method, target, body)
        if status >= 400:
            raise _error(status, content)
        return content

    async def json(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: bytes | None = None
    ) -> Any:
        """Return the JSON of the answer, else as `ask`."""
        return json.loads(await self.ask(method, path, query, body))

    async def status(self, path: str) -> tuple[int, bytes]:
        """Return status and bytes of the answer, whatever they are. Raises UnavailableError if nobody answers."""
        return await asyncio.to_thread(self._exchange, "GET", path, None)

    async def is_fine(self, path: str) -> bool:
        """Return whether the path answers with success."""
        try:
            await self.ask("GET", path)
        except UnavailableError:
            return False
        return True

    def _exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._up.port, timeout=self._timeout_s)
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
        return answer.status, content


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(status: int, content: bytes) -> OscarEventsError:
    """Return the front's error as the one it was there."""
    try:
        said = json.loads(content)
        return _KINDS.get(said["kind"], OscarEventsError)(said["error"])
    except (ValueError, KeyError, TypeError):
        said = content.decode("utf-8", "replace").strip()
    kind = {404: NotFoundError, 413: ConfigurationError, 503: UnavailableError}.get(status, OscarEventsError)
    return kind(f"the platform answered {status}: {said}; its log says more")
