"""Publishes the outbox: copies of terminal moves, at least once.

In:  rows of the ledger's outbox. Out: records on `oscar.executions` and `oscar.deadletter`; rows deleted afterwards.
Not here: writing the rows (ledger/outbox.py, in the transaction of the move).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import groupby

from oscar_events.bus.port import Bus
from oscar_events.ledger import outbox
from oscar_events.ledger.port import Ledger
from oscar_events.progress import Progress

# One acknowledgement and one deletion for so many rows.
_BATCH_ROWS = 500
# Whoever is told may wait this long, so that ends close to each other share one acknowledgement and one deletion.
_GATHER_S = 0.05
# Rows another process wrote are noticed after this; those of this process wake us.
_LOOK_S = 1.0


class OutboxPublisher:
    """Publishes for as long as it runs: in the scheduler's role, as each publisher would publish every row.

    wake: set by whoever wrote rows.
    """

    def __init__(self, bus: Bus, ledger: Ledger, wake: asyncio.Event) -> None:
        self._bus, self._ledger, self._wake = bus, ledger, wake
        self.progress = Progress("telling of runs that ended")
        self.progress.rest()

    async def run(self) -> None:
        """Publish until cancelled. Outages of the bus are waited out; the rows stay."""
        self.progress.made()  # its time begins: a first batch that nobody takes counts
        try:
            while True:
                await asyncio.sleep(_GATHER_S)
                self._wake.clear()
                while rows := await self.progress.patiently(
                    lambda: self._ledger.read(lambda c: outbox.oldest(c, _BATCH_ROWS)), "reading the outbox"
                ):
                    await self._publish(rows)
                    self.progress.made()
                self.progress.made()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._wake.wait()
        finally:
            self.progress.rest()

    async def _publish(self, rows: list[outbox.Waiting]) -> None:
        for topic, some in groupby(sorted(rows, key=lambda row: (row.topic, row.id)), key=lambda row: row.topic):
            records = [row.record for row in some]
            await self.progress.patiently(partial(self._bus.publish, topic, records), "publishing the outbox")
        ids = [row.id for row in rows]
        await self.progress.patiently(
            lambda: self._ledger.write(lambda c: outbox.acknowledged(c, ids)), "clearing the outbox"
        )
