"""What the dispatcher's tests share: a ledger that can be away, a backend that counts, and who plays with them.

In:  how often the ledger is to fail. Out: the product's own ledger and backend double, watched.
Not here: the steps of an execution's life (tests/contracts/ledger/making.py), waiting (tests/waiting.py).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select

from oscar_dispatcher.backends.memory import MemoryBackend
from oscar_dispatcher.backends.port import Permit
from oscar_dispatcher.jobs import Site
from oscar_events.bus.memory import MemoryBus
from oscar_events.errors import LedgerError
from oscar_events.job import Job
from oscar_events.ledger.port import Ledger, Unit
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.progress import Progress
from oscar_events.record import Record
from tests.clock import Clock

T = TypeVar("T")

SITE = Site(
    instance="the-ledger",
    storage={"local.default": {"type": "local", "root": "/buckets"}, "local.other": {"type": "local"}},
    aliases={"minio.default": "local.default"},
    reveal=lambda identity: f"value of {identity}",
)


class MortalLedger(SqliteLedger):
    """A ledger that is away for the next `failures` units. refused: how many it has turned away.

    lost_answers: for so many next writes it commits and does not say so.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failures = 0
        self.refused = 0
        self.lost_answers = 0

    async def write(self, unit: Unit[T]) -> T:
        self._fail()
        written = await super().write(unit)
        if self.lost_answers:
            self.lost_answers -= 1
            raise LedgerError("the answer was lost, as asked for by the test")
        return written

    async def read(self, unit: Unit[T]) -> T:
        self._fail()
        return await super().read(unit)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            self.refused += 1
            raise LedgerError("asked for by the test")


class CountingBackend(MemoryBackend):
    """A backend that knows the most it ever ran at a time, in total and of each service."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.peaks: Counter[str] = Counter()

    async def submit(self, job: Job, permit: Permit) -> bool:
        granted = await super().submit(job, permit)
        self.peak = max(self.peak, len(self.running))
        self.peaks |= Counter(job.service for job in self.running)
        return granted


def own_clock(progress: Progress) -> Clock:
    """Give a part that does not run yet a clock that the test moves."""
    progress._clock = clock = Clock()
    progress.rest()
    return clock


async def records(bus: MemoryBus, topic: str) -> list[Record]:
    """Return everything on a topic, in order per partition."""
    starts = dict.fromkeys(await bus.partitions(topic), 0)
    return [delivery.record for delivery in await bus.read(starts, 1_000_000)]


async def row(ledger: Ledger, table: Any, **wanted: Any) -> Any:
    """Return the one row of a table in which these columns have these values."""
    query = select(table).filter_by(**wanted)
    return await ledger.read(lambda c: c.execute(query).one())
