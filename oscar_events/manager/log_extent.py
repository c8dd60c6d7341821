"""How far the log of events reaches back, and how far a batch read from it brings a reader.

In:  a bus; a range's begin. Out: where to read in each partition; from when on nothing is missing.
Not here: what is read for (replays.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from oscar_events.bus.port import EVENTS, Bus, Delivery, Partition
from oscar_events.codec import iso

# Per partition: (the next offset to read, where reading ends).
Ranges = Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LogExtent:
    """The log, as it stood when somebody looked.

    ranges: from the first record not older than what was asked for, to the end. is_whole: retention took nothing yet.
    begins_ms: from when on the log is complete, as far as it can be told; None if everything it held is gone.
    """

    ranges: Ranges
    is_whole: bool
    begins_ms: int | None

    def reaches(self, since_ms: int) -> bool:
        """Return whether all there ever was since then is still there."""
        return self.is_whole or (self.begins_ms is not None and self.begins_ms <= since_ms)

    def begins(self) -> str:
        """Return from when on it is complete, as words."""
        if self.begins_ms is None:
            return "all it held is gone"
        return f"it begins at {iso(datetime.fromtimestamp(self.begins_ms / 1000, UTC))}"


async def extent(bus: Bus, since_ms: int) -> LogExtent:
    """Look at the log of events."""
    ranges: dict[int, tuple[int, int]] = {}
    oldest: list[int] = []
    oldest_kept: list[int] = []  # of partitions that retention took something from
    is_whole = True
    for partition in await bus.partitions(EVENTS):
        first, end = await bus.offsets(partition)
        ranges[partition.number] = (await bus.offset_at(partition, since_ms), end)
        is_whole = is_whole and first == 0
        for delivery in await bus.read({partition: first}, 1):
            oldest.append(delivery.record.timestamp_ms)
            if first > 0:
                oldest_kept.append(delivery.record.timestamp_ms)
    # Partitions lose what is old at the same time: one that has lost everything is as complete as the others' oldest.
    begins_ms = max(oldest_kept) if oldest_kept else min(oldest, default=None)
    return LogExtent(ranges, is_whole, begins_ms)


def positions(ranges: Ranges) -> dict[Partition, int]:
    """Return from where to read what is left of the ranges."""
    return {Partition(EVENTS, number): start for number, (start, end) in sorted(ranges.items()) if start < end}


def within(ranges: Ranges, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries that lie before the ends."""
    return [delivery for delivery in deliveries if delivery.offset < ranges[delivery.partition.number][1]]


def reached(ranges: Ranges, deliveries: Sequence[Delivery]) -> dict[int, tuple[int, int]]:
    """Return, per partition that was read from, where it was begun and where to go on, at most at its end."""
    ends: dict[int, int] = {}
    for delivery in deliveries:
        ends[delivery.partition.number] = delivery.offset + 1
    return {number: (ranges[number][0], min(there, ranges[number][1])) for number, there in ends.items()}
