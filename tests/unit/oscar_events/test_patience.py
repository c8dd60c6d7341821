"""Whoever is away is waited for, ever longer; every other error comes at once."""

from __future__ import annotations

import asyncio
import random

import pytest
import structlog

from oscar_events.errors import BusError, EventError, LedgerError
from oscar_events.patience import FIRST_WAIT_S, LONGEST_WAIT_S, until_available


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait, none of them waited for; jitter in the middle."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    return waited


class Away:
    """Raises these errors, one a call, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "value"


async def test_what_is_there_is_not_waited_for(waits: list[float]) -> None:
    assert await until_available(Away(), "asking") == "value"
    assert waits == []


async def test_an_outage_is_waited_out_whatever_is_away(waits: list[float]) -> None:
    assert await until_available(Away(BusError("away"), LedgerError("away")), "asking") == "value"
    assert waits == [FIRST_WAIT_S, FIRST_WAIT_S * 2]


async def test_waits_grow_to_some_seconds_and_no_further(waits: list[float]) -> None:
    await until_available(Away(*(BusError("away") for _ in range(50))), "asking")
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S


async def test_an_error_that_waiting_does_not_mend_comes_at_once(waits: list[float]) -> None:
    with pytest.raises(EventError):
        await until_available(Away(EventError("broken")), "asking")
    assert waits == []


async def test_waiting_can_be_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(FIRST_WAIT_S / 4):
            await until_available(Away(*(BusError("away") for _ in range(9))), "asking")


async def test_what_many_wait_for_is_said_once_and_its_end_too(waits: list[float]) -> None:
    with structlog.testing.capture_logs() as lines:
        for number in range(6):
            await until_available(Away(*(BusError("the same for all") for _ in range(20))), f"asking {number}")
    assert [(one["event"], one["doing"]) for one in lines] == [
        ("waiting for somebody else", "asking 0"),
        ("it goes on", "asking 0"),
    ]
