"""What lies on the bus that intake has not put in the ledger yet.

In:  bus and ledger. Out: how much, since when, and how far intake has come in all.
Not here: taking it in (oscar_dispatcher/intake.py), telling of it (manager/gauges.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from oscar_events.bus.port import EVENTS, Bus, Delivery, OffsetGoneError, Partition
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import stored_positions


@dataclass(frozen=True, slots=True)
class Backlog:
    """records: how many are not yet in the ledger. heads: the first of them of each partition that has some.

    reached: the sum of all positions, which grows with all that is taken in, by whichever dispatcher.
    """

    records: int
    heads: tuple[Delivery, ...]
    reached: int

    @property
    def oldest_ms(self) -> int | None:
        """Return when the bus was given the oldest of them, None if there is none."""
        return min((one.record.timestamp_ms for one in self.heads), default=None)


async def backlog(bus: Bus, ledger: Ledger) -> Backlog:
    """Return what waits. One question to the bus per partition, one more where something waits."""
    topic = await bus.topic_id(EVENTS)
    stored = await ledger.read(lambda connection: stored_positions(connection, topic))
    records = 0
    heads: list[Delivery] = []
    for partition in await bus.partitions(EVENTS):
        first, end = await bus.offsets(partition)
        position = max(first, stored.get(partition.number, first))
        if position < end:
            records += end - position
            heads += await _head(bus, partition, position)
    return Backlog(records, tuple(heads), sum(stored.values()))


async def _head(bus: Bus, partition: Partition, position: int) -> list[Delivery]:
    try:
        return await bus.read({partition: position}, 1)
    except OffsetGoneError:  # retention was there in this moment; what it left is asked for the next time
        return []
