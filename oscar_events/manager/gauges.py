"""What only ledger and bus know about how much waits: asked at the scrapes of `/metrics`.

In:  ledger and bus. Out: the gauges of metrics.py, up to date; the alarm `quarantine` when that has grown.
Not here: what is counted as it happens (the components), serving it (routes/health.py).

Every question to the ledger is answered from an index of what is asked for (the queue, the dead letters, the settled
records), never from all executions: 14 ms with 100,000 of each. The bus is asked per partition, which over a network
takes its time: scrapes closer to each other than a few seconds share the answers.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from math import nan

from sqlalchemy import Connection, Select, exists, func, select

from oscar_events import metrics
from oscar_events.bus.port import QUARANTINE, Bus
from oscar_events.errors import UnavailableError
from oscar_events.ledger import leases
from oscar_events.ledger.backlog import backlog
from oscar_events.ledger.port import Ledger, now
from oscar_events.ledger.tables import executions, is_dead_letter, quarantine_settled, queue

_GAUGES = (
    metrics.queued,
    metrics.dead_letters,
    metrics.oldest_ready,
    metrics.lag,
    metrics.oldest_unread,
    metrics.quarantined,
)
# Below the shortest scrape interval in use (5 s); two scrapers together ask no more than one.
_FRESH_S = 3.0
# Of the 10 s a scrape may take unless Prometheus is told otherwise: what this process counts itself, its alarms among
# it, has to be had all the same while ledger or bus do not answer, which either takes longer to give up.
_ANSWER_S = 5.0


class Gauges:
    """The gauges of one process. fresh_s: how long an answer counts as the present."""

    def __init__(self, ledger: Ledger, bus: Bus, fresh_s: float = _FRESH_S) -> None:
        self._ledger, self._bus, self._fresh_s = ledger, bus, fresh_s
        self._asking = asyncio.Lock()
        self._asked: float | None = None
        self._kept: int | None = None

    async def refresh(self) -> None:
        """Ask, and set the gauges; to NaN when ledger or bus cannot be asked, as an old figure would look healthy."""
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked >= self._fresh_s:
                await self._ask()
                self._asked = time.monotonic()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                found: tuple[float, ...] = (
                    *await self._ledger.read(waiting),
                    *await self._unread(),
                    await self._quarantined(),
                )
        except (UnavailableError, TimeoutError):
            found = (nan,) * len(_GAUGES)
        for gauge, value in zip(_GAUGES, found, strict=True):
            gauge.set(value)

    async def _unread(self) -> tuple[float, float]:
        waits = await backlog(self._bus, self._ledger)
        age = 0.0 if waits.oldest_ms is None else max(0.0, time.time() - waits.oldest_ms / 1000)
        return waits.records, age

    async def _quarantined(self) -> int:
        records, kept = await quarantined(self._ledger, self._bus)
        if self._kept is not None and kept > self._kept:
            metrics.alarms.labels("quarantine").inc(kept - self._kept)
        self._kept = kept
        return records


async def quarantined(ledger: Ledger, bus: Bus) -> tuple[int, int]:
    """Return how many records lie in quarantine that nobody settled, and how many ever came there."""
    topic = await bus.topic_id(QUARANTINE)
    records = kept = 0
    for partition in await bus.partitions(QUARANTINE):
        first, end = await bus.offsets(partition)
        kept += end
        settled = select(func.count()).where(
            quarantine_settled.c.topic_id == topic,
            quarantine_settled.c.partition == partition.number,
            quarantine_settled.c.offset >= first,
        )
        records += end - first - await ledger.read(partial(_count, settled))
    return records, kept


def waiting(connection: Connection) -> tuple[int, int, float]:
    """Return the length of the queue, the number of dead letters that were not sent again, and for how many seconds
    the first of the queue could have been started."""
    queued = _count(select(func.count()).select_from(queue), connection)
    successor = executions.alias("successor")
    dead = exists().where(executions.c.id == successor.c.redrive_of, is_dead_letter)
    sent = select(func.count()).select_from(successor).where(successor.c.redrive_of.is_not(None), dead)
    again = _count(sent, connection)
    dead_letters = _count(select(func.count()).select_from(executions).where(is_dead_letter), connection) - again
    first = min((one.next_at for one in leases.waiting(connection)), default=None)
    return queued, dead_letters, 0.0 if first is None else max(0, now(connection) - first) / 1000


def _count(query: Select[int], connection: Connection) -> int:
    return connection.scalar(query) or 0
