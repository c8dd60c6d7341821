"""The routes of services.

In:  requests below /api/services. Out: what `Control` answers, as JSON.
Not here: what is answered (manager/control.py).
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oscar_events.errors import ConfigurationError
from oscar_events.manager.control import Control
from oscar_events.manager.routes.parameters import flag


class _Wish(msgspec.Struct):
    """What is to be applied; see `Control.apply`."""

    services: list[dict[str, Any]]
    remarks: dict[str, list[str]] = {}


def routes(control: Control) -> list[BaseRoute]:
    """Return the routes."""

    async def apply(request: Request) -> Response:
        try:
            wish = msgspec.json.decode(await request.body(), type=_Wish)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"the body is no JSON object with `services`, a list: {error}") from error
        return JSONResponse(await control.apply(wish.services, wish.remarks))

    async def services(request: Request) -> Response:
        return JSONResponse(await control.services())

    async def service(request: Request) -> Response:
        return JSONResponse(await control.service(request.path_params["name"]))

    async def delete_service(request: Request) -> Response:
        return JSONResponse(await control.delete_service(request.path_params["name"], kill=flag(request, "kill")))

    return [
        Route("/api/services", apply, methods=["POST"]),
        Route("/api/services", services),
        # `path`: a name with a slash in it is one that is not there, no other route.
        Route("/api/services/{name:path}", service),
        Route("/api/services/{name:path}", delete_service, methods=["DELETE"]),
    ]
