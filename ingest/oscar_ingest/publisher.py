"""Publishes what the sources yield: bounded, in batches, in order, until the bus has acknowledged.

In:  events and refused bytes, from any number of tasks. Out: records on the bus, in the order they were put.
Not here: making events (sources/), deciding what is listed (reconcile.py).

Nothing is dropped: while the bus is away the buffer fills, `put` waits, and with it whoever reads a kernel queue or a
socket. What was published lately is not published again. That is only an optimisation, which keeps repeated looks at
one file cheap: intake's claim is what makes a repeated event nothing. So what a cancelled `put` did not leave here is
not remembered: the next listing would pass it over. What listings brought is remembered apart from what was told, as
however many notifications must not have the next listing publish all of it again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus
from oscar_events.codec import encode
from oscar_events.event import StorageEvent
from oscar_events.identity import execution_id
from oscar_events.log import logger
from oscar_events.progress import Progress
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record

_log = logger(__name__)

# One batch is one durable write: at 256 records its cost is spread thin, and they are still below 1 MiB together.
BATCH = 256
# Four batches: enough that the next one is full when the last is acknowledged.
BUFFER = 4 * BATCH
# Of each kind. About 20 MB when full, and more than a laptop's folder changes while intake is behind.
REMEMBERED = 100_000


class Publisher:
    """The one way from a source to the bus. `run` has to run for anything to be published. progress: of that."""

    def __init__(
        self,
        bus: Bus,
        *,
        buffer: int = BUFFER,
        batch: int = BATCH,
        remembered: int = REMEMBERED,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus, self._batch, self._now = bus, batch, now
        self._waiting: asyncio.Queue[tuple[str, Record]] = asyncio.Queue(buffer)
        self._told, self._listed = _Lately(remembered), _Lately(remembered)
        self.progress = Progress("publishing events")
        self.progress.rest()

    async def put(self, event: StorageEvent) -> None:
        """Take an event to be published, unless it lately was; wait while the buffer is full."""
        lately = self._listed if event.service_uids else self._told
        names = _names(event)
        if lately.add_any(names, self._now()):
            await self._leave(EVENTS, encode(event), lately, names)

    async def refuse(self, body: bytes, source: str, reason: str) -> None:
        """Take bytes that are no usable event to the quarantine, unless the same lately went there; wait as `put`."""
        record = quarantine_record(body, source, reason, self._now())
        names = [f"{source} {record.key!r}"]
        if self._told.add_any(names, self._now()):
            await self._leave(QUARANTINE, record, self._told, names)
            _log.warning("input refused: it goes to quarantine", source=source, reason=reason)

    def is_new(self, execution_ids: Iterable[str]) -> bool:
        """Tell whether for any of these executions no listing lately brought an event."""
        return any(name not in self._listed for name in execution_ids)

    def forget_listed(self, before: datetime) -> None:
        """Take what listings brought before then for new again."""
        self._listed.forget_before(before)

    async def published(self) -> None:
        """Wait until the bus has acknowledged all that was put."""
        await self._waiting.join()

    async def run(self) -> None:
        """Publish until cancelled. What then still waits is lost here and found again by the next listing."""
        while True:
            self.progress.rest()
            batch = [await self._waiting.get()]
            self.progress.made()  # it begins now; before there was nothing to do
            while len(batch) < self._batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            for topic, entries in groupby(batch, key=lambda entry: entry[0]):
                records = [record for _, record in entries]
                await self.progress.patiently(partial(self._bus.publish, topic, records), "publishing events")
                self.progress.made()
                if topic == EVENTS:
                    metrics.events_published.inc(len(records))
                else:
                    metrics.events_quarantined.labels("ingest").inc(len(records))
            for _ in batch:
                self._waiting.task_done()

    async def _leave(self, topic: str, record: Record, lately: _Lately, names: Iterable[str]) -> None:
        try:
            await self._waiting.put((topic, record))
        except BaseException:
            lately.forget(names)
            raise


def _names(event: StorageEvent) -> list[str]:
    """Return what makes publishing this event again pointless: for named services, each one's execution (design §3.9).

    An event that went to everybody says nothing about a service applied since; so the two are not the same.
    """
    if not event.service_uids:
        return [event.id]
    return [execution_id(event.tenant, uid, event.id) for uid in event.service_uids]


class _Lately:
    """The names added last, at most so many, and when that was."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: OrderedDict[str, datetime] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add_any(self, names: Sequence[str], now: datetime) -> bool:
        """Add the names; tell whether any of them was new. If none was, they stay as old as they are."""
        new = any(name not in self._names for name in names)
        for name in names:
            if new:
                self._names[name] = now
            self._names.move_to_end(name)
            if len(self._names) > self._limit:
                self._names.popitem(last=False)
        return new

    def forget(self, names: Iterable[str]) -> None:
        """Take the names out again, as far as they are still there."""
        for name in names:
            self._names.pop(name, None)

    def forget_before(self, moment: datetime) -> None:
        """Take out what was added before the moment."""
        self.forget([name for name, added in self._names.items() if added < moment])
