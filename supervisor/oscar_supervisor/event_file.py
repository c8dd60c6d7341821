"""The input file of an event that speaks of no object: its own body.

In:  the body. Out: the bytes of the file. Pure.
Not here: where the file is (pipeline.py), which events these are (incoming.py, and the dispatcher's jobs.py).

What clients send (clients.md rule 6): JSON, which stays as it is; a file in base64, which is decoded; anything
else, which stays. OSCAR's supervisor writes JSON anew, and makes garbage of what only looks like base64.
"""

from __future__ import annotations

import binascii

import msgspec

# Lines of base64 as tools make them: MIME (RFC 2045, coreutils) and PEM (RFC 7468).
_LINE_LENGTHS = frozenset({76, 64})


def file_of(body: bytes) -> bytes:
    """Return what the script finds in its input file."""
    try:
        decoded = binascii.a2b_base64(_joined(body.rstrip(b"\r\n")), strict_mode=True)
    except ValueError:
        return body
    return body if _is_json(body) else decoded  # 1234, true and null are both


def _joined(body: bytes) -> bytes:
    """Return base64 in lines as one line. Text in lines is left alone: without its newlines it might be base64."""
    length = body.find(b"\n")
    if length not in _LINE_LENGTHS:
        return body
    ends = body[length :: length + 1]
    only_at_ends = ends.count(b"\n") == len(ends) == body.count(b"\n")
    return body.replace(b"\n", b"") if only_at_ends else body


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
