"""What stands at a place in a document from outside, checked where it is taken.

In:  a parsed document and the names along the way. Out: text, whole number, time, object; None where that is allowed.
Not here: which places a format has (one module each). Errors name the place, what is there and what would be right.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime

from oscar_events.errors import EventError

Document = Mapping[str, object]

# A whole number as text (Ceph's documents, GCS, NiFi): 2^63 has 19 digits, and int() of very long texts is slow.
_MAX_DIGITS = 19
# dict first: to ask an abstract class takes longer than the rest of a look.
_OBJECTS = (dict, Mapping)


def at(document: Document, *path: str) -> object:
    """Return what stands at the place, None if nothing does. Raises EventError where the way ends at no object."""
    here: object = document
    for step, name in enumerate(path):
        if here is None:
            return None
        if not isinstance(here, _OBJECTS):
            raise EventError(_found(here, path[:step], "an object"))
        here = here.get(name)
    return here


def text(document: Document, *path: str) -> str:
    """Return the text there; raises EventError if there is none, or an empty one."""
    found = optional_text(document, *path)
    if found is None:
        raise EventError(f"{'.'.join(path)} is missing or empty")
    return found


def optional_text(document: Document, *path: str) -> str | None:
    """Return the text there; an empty one is none. Raises EventError for another type, or NUL in it."""
    found = at(document, *path)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise EventError(_found(found, path, "text"))
    if not is_storable(found):
        raise EventError(f"{'.'.join(path)} holds NUL or half a surrogate pair, which no database text can")
    return found


def whole_number(document: Document, *path: str) -> int | None:
    """Return the number there, 0 or more, None if there is none; as text it counts too."""
    found = at(document, *path)
    if found is None or found == "":
        return None
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= _MAX_DIGITS:
        return int(found)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise EventError(_found(found, path, "a whole number, 0 or more"))
    return found


def mapping(document: Document, *path: str) -> Document:
    """Return the object there, an empty one if there is none."""
    found = at(document, *path)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise EventError(_found(found, path, "an object"))
    return found


def moment(document: Document, *path: str, zone_is_utc: bool = False) -> datetime:
    """Return the time there, in UTC. zone_is_utc: its sender leaves the zone out and means UTC."""
    written = text(document, *path)
    try:
        time = datetime.fromisoformat(written)
        if time.tzinfo is None:
            if not zone_is_utc:
                raise EventError(_found(written, path, "a time with its zone"))
            return time.replace(tzinfo=UTC)
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise EventError(_found(written, path, "a time like 2026-11-21T04:30:27.946Z")) from error


def since_1970(seconds: float, where: str) -> datetime:
    """Return the time so long after 1970. where: the place it was told at."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise EventError(f"{where} is {seconds} s after 1970, which is no time") from error


def is_storable(found: str) -> bool:
    """Whether every database and the bus can hold the text: without NUL, and Unicode."""
    return "\0" not in found and is_unicode(found)


def is_unicode(found: str) -> bool:
    """Whether the text can be written as UTF-8: half a surrogate pair cannot."""
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True


def _found(value: object, path: tuple[str, ...], expected: str) -> str:
    return f"{'.'.join(path) or 'the document'} is {reprlib.repr(value)}, expected {expected}"
