"""A part that has work and gets none of it done is not live; one that waits for somebody who is away is not ready."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from oscar_events import patience
from oscar_events.errors import LedgerError
from oscar_events.progress import AWAY_S, STALLED_S, Progress
from tests.clock import Clock
from tests.waiting import running, wait_until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress("moving stones", clock)


def test_who_got_something_done_lately_is_live_and_ready(progress: Progress, clock: Clock) -> None:
    for _ in range(10):
        clock.now += STALLED_S
        assert (progress.not_live, progress.not_ready) == ("", "")
        progress.made()


def test_who_gets_nothing_done_is_neither_and_says_what_and_why(progress: Progress, clock: Clock) -> None:
    progress.blocked("the cart is stuck")
    clock.now = STALLED_S + 1
    assert progress.not_live == progress.not_ready == "moving stones made no progress for 31 s: the cart is stuck"
    progress.made()
    assert progress.not_live == ""


def test_of_whom_nothing_is_expected_is_live_however_long(progress: Progress, clock: Clock) -> None:
    progress.rest()
    clock.now = 1e6
    assert (progress.not_live, progress.not_ready) == ("", "")
    progress.made()
    clock.now += STALLED_S + 1
    assert progress.not_live


async def test_who_waits_for_somebody_known_to_be_away_is_live_and_after_a_while_not_ready(
    progress: Progress, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    is_away, asked = True, 0

    async def call() -> None:
        nonlocal asked
        asked += 1
        if is_away:
            raise LedgerError("the quarry is closed")

    async def work() -> None:
        await progress.patiently(call, "fetching stones")

    async with running(work()) as task:
        await wait_until(lambda: asked > 1, "a second try")
        assert progress.not_ready == ""
        clock.now, before = STALLED_S + 1, asked
        await wait_until(lambda: asked > before, "a later try")
        assert progress.not_live == ""
        assert progress.not_ready == "fetching stones: the quarry is closed"
        is_away = False
        await wait_until(task.done, "the call")
    assert (progress.not_live, progress.not_ready) == ("", ""), "its time begins anew when the other is back"
    clock.now += STALLED_S + 1
    assert progress.not_live


async def test_a_call_that_never_answers_is_no_outage(progress: Progress, clock: Clock) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        await progress.patiently(hang, "fetching stones")

    async with running(work()):
        await asyncio.sleep(0)
        clock.now = STALLED_S + 1
        assert progress.not_live == "moving stones made no progress for 31 s"


async def test_who_was_told_that_somebody_is_away_and_then_hears_nothing_is_not_live(
    progress: Progress, clock: Clock
) -> None:
    tries = 0

    async def call() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LedgerError("the quarry is closed")
        await asyncio.Event().wait()

    async with running(progress.patiently(call, "fetching stones")):
        await wait_until(lambda: tries == 2, "the try that is never answered")
        clock.now = STALLED_S
        assert progress.not_live == ""
        clock.now += 1
        assert progress.not_live == "moving stones made no progress for 31 s"


async def test_who_is_told_for_some_seconds_that_somebody_is_away_is_not_ready_even_if_others_answer(
    progress: Progress, clock: Clock
) -> None:
    def ask(answers: bool) -> None:
        with suppress(LedgerError), progress.asking("fetching stones"):
            if not answers:
                raise LedgerError("the quarry is closed")

    ask(answers=False)
    clock.now += AWAY_S
    ask(answers=False)
    assert progress.not_ready == ""
    clock.now += 1
    progress.made()
    with progress.asking("counting stones"):
        assert progress.not_ready == "fetching stones: the quarry is closed"
    assert progress.not_ready
    ask(answers=True)
    assert progress.not_ready == ""


async def test_who_waits_for_an_answer_for_some_seconds_is_not_ready(progress: Progress, clock: Clock) -> None:
    with progress.asking("fetching stones"):
        clock.now += AWAY_S
        assert progress.not_ready == ""
        clock.now += 1
        assert progress.not_ready == "fetching stones: no answer for 6 s"
    assert progress.not_ready == ""


async def test_what_is_given_up_is_waited_for_no_more(progress: Progress, clock: Clock) -> None:
    async def away() -> None:
        raise LedgerError("the quarry is closed")

    async with running(progress.patiently(away, "fetching stones")):
        await asyncio.sleep(0)
        clock.now = AWAY_S + 1
        assert progress.not_ready
    assert progress.not_ready == ""
