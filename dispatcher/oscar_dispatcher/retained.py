"""Alarms when intake is so far behind that the log may forget events before they are taken in.

In:  bus and ledger. Out: the alarm `retention half`, once each time the backlog grows older than half the retention.
Not here: the gauges of the backlog (manager/gauges.py), the gap if it comes to that (intake.py).
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, Bus
from oscar_events.ledger.backlog import backlog
from oscar_events.ledger.port import Ledger
from oscar_events.log import logger
from oscar_events.patience import until_available

# Retention is counted in days; a look is a question or two per partition.
_EVERY_S = 60.0
# Somebody who changes it sees it noticed within the hour: a connection of its own is made for that.
_LOOKS = 60

_log = logger(__name__)


async def watch_retention(bus: Bus, ledger: Ledger) -> None:
    """Look from time to time until cancelled. A bus that does not say how long it keeps records is not watched."""
    is_late = False
    while True:
        retention = await until_available(lambda: bus.retention(EVENTS), "reading the retention of events")
        for _ in range(_LOOKS):
            is_late = await _look(bus, ledger, retention, was_late=is_late)
            await asyncio.sleep(_EVERY_S)


async def _look(bus: Bus, ledger: Ledger, retention: timedelta | None, *, was_late: bool) -> bool:
    waiting = await until_available(lambda: backlog(bus, ledger), "measuring what waits")
    age = timedelta(seconds=0 if waiting.oldest_ms is None else time.time() - waiting.oldest_ms / 1000)
    is_late = retention is not None and age > retention / 2
    if is_late and not was_late:
        metrics.alarms.labels("retention half").inc()
        _log.error(
            "events wait so long that the log may forget them before they are taken in",
            oldest=str(age),
            retention=str(retention),
            events=waiting.records,
        )
    return is_late
