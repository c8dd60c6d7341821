"""Patterns of keys: `**/*.png`.

In:  a pattern, a key relative to a folder. Out: whether the one meets the other; what all keys it meets have in common.
Not here: which services have patterns (wanted.py).

Segment by segment by the rules of fnmatch, so that no `*` crosses a `/`; a segment `**` is any number of segments, also
none. A key that is no UTF-8 is compared with each wrong byte as one character. The time is bounded by segments of the
key times segments of the pattern: patterns are other people's, and intake waits for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate

_ANY_DEPTH = "**"
_SPECIAL = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern, taken apart once. segments: None stands for `**`."""

    text: str
    segments: tuple[re.Pattern[str] | None, ...]

    @classmethod
    def of(cls, text: str) -> Glob:
        """Return the pattern of a text."""
        parts = text.split("/")
        return cls(text, tuple(None if part == _ANY_DEPTH else re.compile(translate(part)) for part in parts))

    def meets(self, relative_key: bytes) -> bool:
        """Tell whether the whole key is one the pattern means."""
        key = relative_key.decode("utf-8", "surrogateescape").split("/")
        at = part = 0
        again: tuple[int, int] | None = None  # the last `**`, and how far it reaches so far
        while at < len(key):
            segment = self.segments[part] if part < len(self.segments) else _NOTHING
            if segment is None:
                again = part, at
                part += 1
            elif segment.match(key[at]):
                part, at = part + 1, at + 1
            elif again is not None:
                again = again[0], again[1] + 1
                part, at = again[0] + 1, again[1]
            else:
                return False
        return all(segment is None for segment in self.segments[part:])

    @property
    def prefix(self) -> str:
        """What every key starts with that the pattern meets."""
        parts = self.text.split("/")
        literal: list[str] = []
        for part in parts:
            special = _SPECIAL.search(part)
            if special is not None:
                # `**` may be no segment at all, and then there is no slash either.
                start = "" if part == _ANY_DEPTH else "/" * bool(literal) + part[: special.start()]
                return "/".join(literal) + start
            literal.append(part)
        return self.text

    @property
    def suffix(self) -> str:
        """What every key ends with that the pattern meets."""
        last = self.text.rpartition("/")[2]
        return re.split(r"[*?\]]", last)[-1] if _SPECIAL.search(last) else last


_NOTHING = re.compile(r"(?!)")
