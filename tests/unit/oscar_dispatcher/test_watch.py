"""Whatever a backend says, and however often, each attempt's end is recorded once and its slot is free at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection
from structlog.testing import capture_logs

from oscar_dispatcher import watch
from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, Ended, Started
from oscar_dispatcher.flight import Attempt, Flight
from oscar_dispatcher.jobs import build_job
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.watch import Watch
from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.job import FailureClass
from oscar_events.ledger import ends
from oscar_events.ledger.ends import ToRecord
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.tables import attempts, executions, outbox
from oscar_events.progress import STALLED_S
from tests.contracts.ledger.making import Life, failed, file_event, service, succeeded
from tests.statemachine.faults import Calls, Fault, calls_of, let_fail
from tests.unit.oscar_dispatcher.doubles import SITE, CountingBackend, MortalLedger, own_clock, row
from tests.waiting import running, wait_until

DEADLINE_S = 60.0


class Watching:
    """A watch that holds the role, and attempts for it to watch."""

    def __init__(self, life: Life, backend: CountingBackend) -> None:
        self.life, self.backend, self.flight = life, backend, Flight()
        self.freed = 0
        self.watch = Watch(life.ledger, backend, self.flight, Revisions(life.ledger), self._count_freed)

    def _count_freed(self) -> None:
        self.freed += 1

    async def submit(self) -> Leased:
        """Return an attempt that runs, as the scheduler would have left it."""
        definition = service(retry={"max_attempts": 2, "backoff": "1h"})
        uid = await self.life.apply(definition)
        event = file_event()
        await self.life.claim(event)
        (held,) = await self.life.lease(uid)
        self.flight.add(Attempt(held.execution, held.attempt, uid, held.revision))
        job = build_job(held, definition, event, SITE)
        assert await self.backend.submit(job, lambda: self.life.submit(held, job.spec_hash()))
        return held

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        async with running(self.watch.run(self.life.epoch)):
            yield

    async def landed(self) -> None:
        await wait_until(self.flight.empty.is_set, "everything in flight to end")


@pytest.fixture
async def scene(life: Life, backend: CountingBackend) -> Watching:
    await life.take_role()
    return Watching(life, backend)


async def test_an_end_is_recorded_told_and_forgotten_and_its_slot_is_free(scene: Watching) -> None:
    held = await scene.submit()
    async with scene.work():
        scene.backend.finish(held.execution, succeeded(held, "out/a.png"), log=b"hello\n")
        await scene.landed()
        assert await scene.life.state(held.execution) is State.SUCCEEDED
        assert (await row(scene.life.ledger, attempts)).log == b"hello\n"
        assert await scene.life.count(outbox) == 1
        assert scene.backend.forgotten == [held.execution]
        await wait_until(scene.watch.ended.is_set, "the outbox to be told")
        assert scene.freed > 0


async def test_an_end_said_twice_is_recorded_once(scene: Watching) -> None:
    held = await scene.submit()
    end = Ended(held.execution, held.attempt, held.nonce, succeeded(held))
    async with scene.work():
        scene.backend._notices.put_nowait(end)
        scene.backend._notices.put_nowait(end)
        other = await scene.submit()
        scene.backend.finish(other.execution)
        await scene.landed()
    assert await scene.life.count(outbox) == 2


@pytest.mark.parametrize("number", [1, 2])
async def test_the_end_of_what_is_not_in_flight_changes_nothing(scene: Watching, number: int) -> None:
    held = await scene.submit()
    other = await scene.submit()
    scene.flight.clear()
    scene.flight.add(Attempt(other.execution, other.attempt, other.service_uid, other.revision))
    async with scene.work():
        scene.backend._notices.put_nowait(Ended(held.execution, number, held.nonce, None, "nobody knows"))
        scene.backend.finish(other.execution)
        await scene.landed()
    assert await scene.life.state(held.execution) is State.SUBMITTED


async def test_an_end_with_a_strangers_nonce_changes_nothing(scene: Watching) -> None:
    held = await scene.submit()
    async with scene.work():
        scene.backend._notices.put_nowait(Ended(held.execution, held.attempt, "guessed", succeeded(held)))
        await scene.landed()
    assert await scene.life.state(held.execution) is State.SUBMITTED


async def test_an_attempt_without_a_report_is_tried_again(scene: Watching) -> None:
    held = await scene.submit()
    async with scene.work():
        scene.backend.finish(held.execution, reason="its node is gone")
        await scene.landed()
    found = await row(scene.life.ledger, executions)
    assert (found.state, found.attempt, found.reason) == (State.PENDING, 2, "its node is gone")
    assert scene.backend.forgotten == [], "what is kept of it is needed to fence it"


async def test_the_services_own_settings_decide_who_is_tried_again(scene: Watching) -> None:
    held = await scene.submit()
    async with scene.work():
        scene.backend.finish(held.execution, failed(held, FailureClass.USER, 3))
        await scene.landed()
    assert await scene.life.state(held.execution) is State.PENDING


async def test_an_end_the_ledger_could_not_take_is_recorded_when_it_is_back(
    scene: Watching, ledger: MortalLedger
) -> None:
    held = await scene.submit()
    async with scene.work():
        ledger.failures = 3
        scene.backend.finish(held.execution, succeeded(held))
        await wait_until(lambda: ledger.refused, "the first refusal")
        assert scene.flight.room(1) == 1, "nothing of it runs: its slot is free although its end is not recorded"
        assert not scene.flight.empty.is_set()
        await scene.landed()
    assert await scene.life.state(held.execution) is State.SUCCEEDED


async def test_a_start_is_noted_if_the_script_runs_long_enough(
    scene: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_WORTH_NOTING_S", 0)
    held = await scene.submit()
    async with scene.work():
        scene.backend.start(held.execution, at=12.5)

        async def noted() -> bool:
            return await scene.life.state(held.execution) is State.RUNNING

        await wait_until(noted, "the start")
    assert (await row(scene.life.ledger, executions)).started_at == 12_500


async def test_a_start_is_not_worth_a_transaction_if_the_end_is_there_already(scene: Watching) -> None:
    held = await scene.submit()
    clock = asyncio.get_running_loop().time
    async with scene.work():
        scene.backend.start(held.execution, at=12.5)
        scene.backend.finish(held.execution, reason="killed")
        later = clock() + watch._WORTH_NOTING_S
        await wait_until(lambda: clock() > later, "the start to be looked at")
        await scene.landed()
    assert (await row(scene.life.ledger, executions)).started_at is None


async def test_a_cancel_is_passed_on_and_the_end_is_the_backends_to_say(scene: Watching) -> None:
    held = await scene.submit()
    async with scene.work():
        await scene.life.ledger.write(lambda c: ends.cancel(c, held.execution, "a person's wish"))
        scene.watch.wake()
        await scene.landed()
    assert set(scene.backend.cancel_requests) == {(held.execution, 1)}  # twice, if woken before the end is recorded
    assert await scene.life.state(held.execution) is State.CANCELLED


async def test_a_run_that_published_before_the_cancel_reached_it_has_succeeded(scene: Watching) -> None:
    held = await scene.submit()
    scene.backend.obey_cancel = False
    async with scene.work():
        await scene.life.ledger.write(lambda c: ends.cancel(c, held.execution, "a person's wish"))
        scene.watch.wake()
        await wait_until(lambda: scene.backend.cancel_requests, "the cancel")
        scene.backend.finish(held.execution, succeeded(held))
        await scene.landed()
    assert await scene.life.state(held.execution) is State.SUCCEEDED


async def test_an_end_under_a_lost_role_is_not_recorded(scene: Watching) -> None:
    held = await scene.submit()
    lost = scene.life.epoch
    await scene.life.take_role("another")
    async with running(scene.watch.run(lost)):
        scene.backend.finish(held.execution, succeeded(held))
        await scene.landed()
    assert await scene.life.state(held.execution) is State.SUBMITTED


async def test_a_start_under_a_lost_role_ends_the_watch(scene: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_WORTH_NOTING_S", 0)
    held = await scene.submit()
    lost = scene.life.epoch
    await scene.life.take_role("another")
    scene.backend.start(held.execution)
    with pytest.RaisesGroup(FencedError):
        await scene.watch.run(lost)


def starts_measured() -> tuple[float, float]:
    """How many starts the histogram holds, and their delays together."""
    found = [REGISTRY.get_sample_value(f"oscar_events_start_delay_seconds_{part}") for part in ("count", "sum")]
    return found[0] or 0.0, found[1] or 0.0


@pytest.mark.parametrize(
    ("number", "event_time", "delays"),
    [
        (1, "2026-11-21T04:30:00.000Z", [2.5]),
        (1, "2026-11-21T04:30:09.000Z", [0.0]),  # the storage's clock is ahead of ours
        (2, "2026-11-21T04:30:00.000Z", []),  # it waited for the failure before it
        (1, None, []),  # taken over from another holder of the role
    ],
)
async def test_the_time_from_an_event_to_its_first_start_is_measured(
    scene: Watching, number: int, event_time: str | None, delays: list[float]
) -> None:
    at = datetime(2026, 11, 21, 4, 30, 2, 500_000, UTC).timestamp()
    count, total = starts_measured()
    scene.flight.add(Attempt("one", number, "blur", 1, event_time))
    last = await scene.submit()
    async with scene.work():
        scene.backend._notices.put_nowait(Started("one", number, at))
        scene.backend.finish(last.execution)
        await wait_until(lambda: last.execution not in scene.flight, "the notice after it")
    after, sum_after = starts_measured()
    assert after - count == len(delays)
    assert sum_after - total == pytest.approx(sum(delays))


async def test_a_line_about_a_run_names_it_as_execution(scene: Watching) -> None:
    held = await scene.submit()
    scene.flight.clear()
    last = await scene.submit()
    with capture_logs() as lines:
        async with scene.work():
            scene.backend._notices.put_nowait(Ended(held.execution, held.attempt, held.nonce, None, "nobody knows"))
            scene.backend.finish(last.execution)
            await scene.landed()
    assert [(line["execution"], line["attempt"]) for line in lines if "not in flight" in line["event"]] == [
        (held.execution, held.attempt)
    ]


@pytest.mark.parametrize("is_first", [True, False], ids=["from the first on", "later"])
async def test_who_cannot_record_an_end_is_not_live_and_who_has_none_to_record_is(
    scene: Watching, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    clock, cancels, looks = own_clock(scene.watch.progress), ends.cancels, 0

    def counted(connection: Connection) -> list[tuple[str, int]]:
        nonlocal looks
        looks += 1
        return cancels(connection)

    async def looked() -> None:
        """Return once the watch has looked for cancels, and gone on."""
        before = looks
        for later in (before, before + 1):
            scene.watch.wake()
            await wait_until(lambda later=later: looks > later, "looks for cancels", DEADLINE_S)  # type: ignore[misc]

    monkeypatch.setattr(ends, "cancels", counted)
    held = await scene.submit()
    answers = asyncio.Event()
    write_ends = scene.watch._write_ends

    async def when_answered(epoch: int, wanted: Sequence[ToRecord]) -> list[State | Exception | None]:
        await answers.wait()
        return await write_ends(epoch, wanted)

    monkeypatch.setattr(scene.watch, "_write_ends", when_answered)
    if is_first:
        scene.backend.finish(held.execution, succeeded(held))
    async with scene.work():
        if not is_first:
            clock.now += STALLED_S + 1
            await looked()
            assert scene.watch.progress.not_live == ""
            scene.backend.finish(held.execution, succeeded(held))
        await wait_until(lambda: scene.watch._unrecorded, "the end to be heard of", DEADLINE_S)
        clock.now += STALLED_S + 1
        await looked()
        assert scene.watch.progress.not_live == "recording what became of runs made no progress for 31 s"
        answers.set()
        await scene.landed()
        await wait_until(lambda: not scene.watch.progress.not_live, "progress", DEADLINE_S)


async def test_what_a_backend_that_is_away_was_to_forget_or_to_cancel_it_is_asked_again(scene: Watching) -> None:
    calls = Calls(BackendUnavailableError, calls_of(Backend))
    let_fail(scene.backend, calls_of(Backend), calls)
    for name in ("cancel", "forget"):
        calls[name].coming = [Fault.NOT_DONE, Fault.ANSWER_LOST]
    held = await scene.submit()
    async with scene.work():
        await scene.life.ledger.write(lambda c: ends.cancel(c, held.execution, "a person's wish"))
        scene.watch.wake()
        await wait_until(lambda: len(scene.backend.forgotten) == 2, "the run to be forgotten", DEADLINE_S)
        await scene.landed()
    assert len(scene.backend.cancel_requests) >= 2
    assert await scene.life.state(held.execution) is State.CANCELLED
