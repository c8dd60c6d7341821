"""JSON from outside, read without what parsers disagree on or break at.

In:  bytes. Out: the document; and JSON bytes of a part of one.
Not here: what the members mean. Source of the limits: reference/reliability.md 3.8, measured on CPython 3.11.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import NoReturn

from oscar_events.errors import EventError

# Real notifications nest 6 levels; the interpreter's own recursion limit is near 1,000.
MAX_DEPTH = 64


class NotJsonError(EventError):
    """The bytes are no JSON at all, which for a sender that did not say they were is no mistake."""


def parse(body: bytes) -> object:
    """Return the document in these bytes.

    Raises NotJsonError for what is no JSON, EventError for JSON with: more than 64 levels, a name twice in one object,
    NaN or an infinity, an integer too long to read, half a surrogate pair, NUL in a name.
    """
    try:
        document: object = _decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not JSON: not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error}") from error
    except ValueError as error:
        raise EventError("the JSON holds an integer of more than 4,300 digits") from error
    except RecursionError as error:
        raise EventError(_too_deep()) from error
    if _may_hide(body):
        _check(document)
    return document


def dump(document: object) -> bytes:
    """Return the JSON bytes of (a part of) a parsed document: UTF-8, members in their order, no spaces."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise EventError(f"the JSON holds the name {twice[:64]!a} twice in one object: readers disagree which counts")
    return members


def _no_constant(text: str) -> NoReturn:
    raise EventError(f"the JSON holds {text}, which is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise EventError(f"the JSON holds the number {text[:40]}, which is beyond any double")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite)


def _may_hide(body: bytes) -> bool:
    """Whether a look at every text could find anything: only escapes make what UTF-8 and JSON refuse as it is (half a
    pair, NUL), and as many levels need as many brackets. Real notifications have neither, and the look costs more than
    the parser."""
    return b"\\u" in body or body.count(b"{") + body.count(b"[") > MAX_DEPTH


def _check(document: object) -> None:
    """Look at every text and level, without recursion."""
    levels: list[tuple[object, int]] = [(document, 1)]
    while levels:
        value, depth = levels.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise EventError(_too_deep())
            inner = value.values() if isinstance(value, dict) else value
            levels.extend((each, depth + 1) for each in inner)
            if isinstance(value, dict):
                for name in value:
                    _check_text(name)
                    if "\0" in name:
                        raise EventError(f"the JSON holds the name {name[:64]!a} with a NUL in it")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EventError("the JSON holds half a surrogate pair, which is no text") from error


def _too_deep() -> str:
    return f"the JSON is nested deeper than {MAX_DEPTH} levels"
