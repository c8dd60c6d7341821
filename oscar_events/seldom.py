"""Saying the same thing seldom: at first, then ever less often while it goes on.

In:  what is about to be said. Out: whether it is, and how often it was left out since.
Not here: what is worth a line at all (each module), how lines look (log.py).

A library that tries again 40 times a second says so each time: Kafka's client wrote 4,100 lines in an outage of half a
minute. The first line and a count tell as much.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

# An outage of a minute is three lines, one of a night a dozen an hour.
FIRST_S = 10.0
LONGEST_S = 300.0
# What was not heard of for so long is news again.
_QUIET_S = 60.0
# Far more than go on at a time: what a message holds that is never the same again must not pile up.
_REMEMBERED = 256
_VARYING = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


@dataclass(slots=True)
class _Said:
    at: float
    wait: float
    heard_at: float
    left_out: int = 0


class Seldom:
    """What was said, by its text. clock: seconds that only grow; of a test its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, _Said] = {}

    def due(self, text: str) -> int | None:
        """Return how often it was left out since it was said last; None if it is left out now."""
        now = self._clock()
        said = self._said.get(text)
        if said is None or now - said.heard_at > _QUIET_S:
            self._said.pop(text, None)
            self._said[text] = _Said(now, FIRST_S, now)
            if len(self._said) > _REMEMBERED:
                del self._said[next(iter(self._said))]
            return 0
        said.heard_at = now
        if now - said.at < said.wait:
            said.left_out += 1
            return None
        left_out, said.left_out = said.left_out, 0
        said.at, said.wait = now, min(said.wait * 2, LONGEST_S)
        return left_out


def without_numbers(text: str) -> str:
    """Return the text with a mark in place of each number: what differs between two lines that say the same."""
    return _VARYING.sub("#", text)
