"""Has the ledger forget what is due, from time to time.

In:  how long what is kept. Out: rows emptied and removed, in small units of work, until cancelled.
Not here: what is due (ledger/retention.py). Runs in the scheduler's role: one process does it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from oscar_events import metrics
from oscar_events.ledger import retention
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.retention import Kept
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.settings import RetentionSettings

# What is kept for days is due no more exactly than this.
_EVERY_S = 600.0
# Between two units: what people and runs want of the database goes first.
_PAUSE_S = 0.1

_log = logger(__name__)


async def forget_for_ever(ledger: Ledger, settings: RetentionSettings) -> None:
    """Forget what is due until cancelled. Outages of the ledger are waited out."""
    kept = Kept(_ms(settings.runs), _ms(settings.tombstones), _ms(settings.dead))
    while True:
        emptied = removed = 0
        while True:
            done = await until_available(partial(ledger.write, partial(retention.forget, kept=kept)), "forgetting")
            emptied, removed = emptied + done.emptied, removed + done.removed
            if not (done.emptied or done.removed):
                break
            await asyncio.sleep(_PAUSE_S)
        if emptied or removed:
            metrics.executions_forgotten.inc(removed)
            _log.info("the ledger forgot what was due", tombstones_made=emptied, tombstones_removed=removed)
        await asyncio.sleep(_EVERY_S)


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
