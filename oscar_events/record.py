"""A record: what is published on a topic of the bus.

In:  key, value, headers, time. Out: the same.
Not here: where it lies once published (bus/port.py), what it says (codec.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """What is published. timestamp_ms: the producer's wall clock, milliseconds since 1970 UTC."""

    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()
