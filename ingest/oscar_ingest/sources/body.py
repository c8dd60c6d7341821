"""The body of a request, read up to a bound.

In:  ASGI's `receive`, how many bytes. Out: the bytes.
Not here: for how long, and what the sender is told when it exceeds a bound (webhook.py).
"""

from __future__ import annotations

from starlette.types import Receive


class BodyTooLargeError(Exception):
    """More bytes came than may."""


class SenderGoneError(Exception):
    """The sender closed the connection before all had come."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the whole body. Raises BodyTooLargeError once more than `limit` bytes have come, SenderGoneError."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLargeError
        if not message.get("more_body", False):
            return bytes(body)
