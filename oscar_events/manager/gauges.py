"""What only ledger and bus know about how much waits: asked at each scrape of `/metrics`.

In:  ledger and bus. Out: the gauges of metrics.py, up to date.
Not here: what is counted as it happens (the components), serving it (routes/health.py).

Every question is answered from an index of what is asked for (the queue, the dead letters, the settled records), never
from all executions: 14 ms with 100,000 of each.
"""

from __future__ import annotations

from functools import partial
from math import nan

from sqlalchemy import Connection, Select, exists, func, select

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus
from oscar_events.errors import UnavailableError
from oscar_events.ledger.claims import stored_positions
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.tables import executions, is_dead_letter, quarantine_settled, queue

_GAUGES = (metrics.queued, metrics.dead_letters, metrics.lag, metrics.quarantined)


class Gauges:
    """The gauges of one platform."""

    def __init__(self, ledger: Ledger, bus: Bus) -> None:
        self._ledger, self._bus = ledger, bus

    async def refresh(self) -> None:
        """Ask, and set the gauges; to NaN when ledger or bus cannot be asked, as an old figure would look healthy."""
        try:
            found: tuple[float, ...] = (
                *await self._ledger.read(waiting),
                await self._lag(),
                await self._quarantined(),
            )
        except UnavailableError:
            found = (nan,) * len(_GAUGES)
        for gauge, value in zip(_GAUGES, found, strict=True):
            gauge.set(value)

    async def _lag(self) -> int:
        topic = await self._bus.topic_id(EVENTS)
        stored = await self._ledger.read(lambda connection: stored_positions(connection, topic))
        lag = 0
        for partition in await self._bus.partitions(EVENTS):
            first, end = await self._bus.offsets(partition)
            lag += max(0, end - max(first, stored.get(partition.number, first)))
        return lag

    async def _quarantined(self) -> int:
        topic = await self._bus.topic_id(QUARANTINE)
        records = 0
        for partition in await self._bus.partitions(QUARANTINE):
            first, end = await self._bus.offsets(partition)
            settled = select(func.count()).where(
                quarantine_settled.c.topic_id == topic,
                quarantine_settled.c.partition == partition.number,
                quarantine_settled.c.offset >= first,
            )
            records += end - first - await self._ledger.read(partial(_count, settled))
        return records


def waiting(connection: Connection) -> tuple[int, int]:
    """Return the length of the queue, and the number of dead letters that were not sent again."""
    queued = _count(select(func.count()).select_from(queue), connection)
    successor = executions.alias("successor")
    dead = exists().where(executions.c.id == successor.c.redrive_of, is_dead_letter)
    sent = select(func.count()).select_from(successor).where(successor.c.redrive_of.is_not(None), dead)
    again = _count(sent, connection)
    return queued, _count(select(func.count()).select_from(executions).where(is_dead_letter), connection) - again


def _count(query: Select[int], connection: Connection) -> int:
    return connection.scalar(query) or 0
