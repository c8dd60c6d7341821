"""What requests carry in their query and body, read and checked.

In:  a request. Out: values of the kind asked for, None for those not given.
Not here: which parameters a route has (the modules beside this).
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec
from starlette.requests import Request

from oscar_events.errors import ConfigurationError

T = TypeVar("T")

# What one answer may list: about 1 MiB of runs. `before` leads on.
MAX_PAGE = 1000


def number(request: Request, name: str, most: int | None = None) -> int | None:
    """Return a parameter that counts from 1, None if it is not given. Raises ConfigurationError."""
    text = request.query_params.get(name)
    if text is None:
        return None
    given = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if given < 1 or (most is not None and given > most):
        bound = f" up to {most}" if most is not None else ""
        raise ConfigurationError(f"{name}={text!r} is no count; write a whole number from 1{bound}")
    return given


def page_size(request: Request) -> int:
    """Return how many elements an answer may have: `limit`, at most and by default MAX_PAGE."""
    return number(request, "limit", MAX_PAGE) or MAX_PAGE


def flag(request: Request, name: str) -> bool:
    """Return whether a parameter is given as true."""
    return request.query_params.get(name) == "true"


def moment(request: Request, name: str) -> datetime | None:
    """Return a parameter that is a time, None if it is not given. Raises ConfigurationError."""
    text = request.query_params.get(name)
    return None if text is None else read_moment(name, text)


def read_moment(name: str, text: str) -> datetime:
    """Return the time that ISO 8601 text means. Raises ConfigurationError, also for a time without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigurationError(f"{name}={text!r} is no time; write one like 2026-11-21T12:00:00Z")
    return found


async def document(request: Request, form: type[T], example: str) -> T:
    """Return the request's JSON body. Raises ConfigurationError with the example if it is of another form."""
    try:
        return msgspec.json.decode(await request.body(), type=form)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"the body is not as it should be: {error}; send one like {example}") from error
