"""A process stops in two phases, and never goes on silently without one of its parts."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from datetime import timedelta

import pytest
import structlog
from prometheus_client import REGISTRY

from oscar_events import lifecycle
from oscar_events.lifecycle import PartEndedError, Stop, run_until_stopped
from tests.waiting import running, wait_until

LONG = timedelta(hours=1)


class Part:
    """A part that runs until cancelled."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.was_cancelled = False

    async def run(self) -> None:
        self.runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


async def at_once() -> None:
    """Nothing to drain."""


async def never() -> None:
    await asyncio.Event().wait()


async def test_all_parts_run_until_the_stop_and_then_end() -> None:
    parts, stop = {"one": Part(), "two": Part()}, Stop()
    async with running(run_until_stopped({name: part.run for name, part in parts.items()}, stop, at_once)) as ended:
        for part in parts.values():
            await part.runs.wait()
        stop.request()
        await wait_until(ended.done, "the end")
    assert all(part.was_cancelled for part in parts.values())


async def test_parts_run_on_while_what_is_under_way_is_drained() -> None:
    part, stop, drained = Part(), Stop(), asyncio.Event()
    draining = asyncio.Event()

    async def drain() -> None:
        draining.set()
        await drained.wait()

    async with running(run_until_stopped({"part": part.run}, stop, drain, LONG)) as ended:
        stop.request()
        await draining.wait()
        assert not part.was_cancelled
        drained.set()
        await wait_until(ended.done, "the end")
    assert part.was_cancelled


async def test_a_drain_that_takes_too_long_is_cut_off_at_the_deadline() -> None:
    stop = Stop()
    stop.request()
    async with asyncio.timeout(30):
        await run_until_stopped({"part": Part().run}, stop, never, timedelta(milliseconds=10))


async def test_asking_a_second_time_cuts_the_drain_off() -> None:
    stop = Stop()
    stop.request()
    stop.request()
    async with asyncio.timeout(30):
        await run_until_stopped({"part": Part().run}, stop, never, LONG)


async def test_the_fault_of_a_part_ends_the_others_and_is_the_callers() -> None:
    async def breaks() -> None:
        raise ZeroDivisionError

    other = Part()
    with pytest.RaisesGroup(ZeroDivisionError):
        await run_until_stopped({"other": other.run, "broken": breaks}, Stop(), at_once)
    assert other.was_cancelled


async def test_a_part_that_just_ends_is_a_fault_as_well() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(PartEndedError, match="intake ended by itself")):
        await run_until_stopped({"intake": at_once}, Stop(), at_once)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_ask_for_the_end_and_a_second_one_makes_it_urgent(number: signal.Signals) -> None:
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), number)
        await wait_until(stop.requested.is_set, "the first signal")
        assert not stop.urgent.is_set()
        os.kill(os.getpid(), number)
        await wait_until(stop.urgent.is_set, "the second signal")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_what_keeps_the_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_LAG_EVERY_S", 0.001)

    def late(than_s: str) -> float:
        """Return how many of the short sleeps ended at most so late."""
        found = REGISTRY.get_sample_value("oscar_events_event_loop_lag_seconds_bucket", {"le": than_s})
        return found or 0.0

    seen = late("+Inf")
    stop = Stop()
    async with running(run_until_stopped({"part": Part().run}, stop, at_once)) as ended:
        await wait_until(lambda: late("+Inf") > seen, "a look")
        threading.Event().wait(0.06)  # as a computation would
        before = late("+Inf") - late("0.05")
        await wait_until(lambda: late("+Inf") - late("0.05") > before, "the late one")
        stop.request()
        await wait_until(ended.done, "the end")


async def test_the_second_signal_and_the_end_are_in_the_log() -> None:
    stop = Stop()
    stop.request()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            stop.request()
        await run_until_stopped({"part": Part().run}, stop, never, LONG)
    assert [one["event"] for one in lines] == [
        "asked a second time: what is under way is cut off",
        "stopping: what runs may finish, a second signal cuts it off",
        "stopped",
    ]


async def test_a_drain_that_was_cut_off_at_its_deadline_is_in_the_log() -> None:
    stop = Stop()
    stop.request()
    with structlog.testing.capture_logs() as lines:
        await run_until_stopped({"part": Part().run}, stop, never, timedelta(milliseconds=10))
    assert "the time is over: what is under way is cut off" in [one["event"] for one in lines]
