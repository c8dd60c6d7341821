"""A role is held by one process at a time, for any work; who lost it has stopped before anybody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from oscar_events import metrics
from oscar_events.errors import FencedError
from oscar_events.ledger import roles
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.ledger.tenure import Tenure
from tests.waiting import running, wait_until

ROLE = "sweeper"
HOUR = timedelta(hours=1)
SHORT = timedelta(milliseconds=400)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        yield ledger


class Work:
    """What a holder does: nothing, until cancelled. epochs: under which it was begun. ended: how often."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.ended = 0

    async def __call__(self, epoch: int) -> None:
        self.epochs.append(epoch)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


async def begun(work: Work, times: int = 1) -> None:
    await wait_until(lambda: len(work.epochs) >= times, "the work to begin")


def holding(ledger: Ledger, holder: str, ttl: timedelta = HOUR) -> Tenure:
    return Tenure(ledger, ROLE, holder, ttl)


async def test_the_holder_works_and_others_stand_by(ledger: Ledger) -> None:
    mine, other = Work(), Work()
    first, second = holding(ledger, "one"), holding(ledger, "two")
    gauge = metrics.role_held.labels(ROLE)
    async with running(first.run(mine)):
        await begun(mine)
        assert first.may_write()
        assert gauge._value.get() == 1
        async with running(second.run(other)):
            await wait_until(lambda: second.stands_by, "the second to be told")
            assert not second.may_write()
            assert other.epochs == []
    assert gauge._value.get() == 0


async def test_whoever_leaves_frees_the_role_at_once(ledger: Ledger) -> None:
    mine, other = Work(), Work()
    async with running(holding(ledger, "one").run(mine)):
        await begun(mine)
    assert mine.ended == 1
    async with running(holding(ledger, "two").run(other)):
        await begun(other)
    assert (mine.epochs, other.epochs) == ([1], [2])


async def test_whose_role_was_taken_stops_its_work_and_begins_anew_when_it_has_it_again(ledger: Ledger) -> None:
    work = Work()
    async with running(holding(ledger, "one", SHORT).run(work)):
        await begun(work)
        ms = int(SHORT.total_seconds() * 1000)
        await ledger.write(lambda c: roles.take(c, ROLE, "another", ms, at_once=True))
        await wait_until(lambda: work.ended, "the work to be stopped")
        await begun(work, times=2)
    assert work.epochs == [1, 3]


async def test_work_that_is_fenced_itself_has_lost_the_role(ledger: Ledger) -> None:
    epochs: list[int] = []

    async def fenced_once(epoch: int) -> None:
        epochs.append(epoch)
        if epoch == 1:
            async with asyncio.TaskGroup() as tasks:  # as deep as it may be
                tasks.create_task(_fail())
        await asyncio.Event().wait()

    async with running(holding(ledger, "one").run(fenced_once)):
        await wait_until(lambda: len(epochs) == 2, "the work to begin anew")
    assert epochs == [1, 2]


async def _fail() -> None:
    raise FencedError("somebody else has it")


async def test_any_other_fault_of_the_work_is_the_callers_and_the_role_is_free(ledger: Ledger) -> None:
    async def breaks(epoch: int) -> None:
        raise ValueError("no stones")

    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        await holding(ledger, "one").run(breaks)
    other = Work()
    async with running(holding(ledger, "two").run(other)):
        await begun(other)


async def test_work_that_is_done_frees_the_role(ledger: Ledger) -> None:
    async def done(epoch: int) -> None:
        """One pass, say."""

    await holding(ledger, "one").run(done)
    other = Work()
    async with running(holding(ledger, "two").run(other)):
        await begun(other)
