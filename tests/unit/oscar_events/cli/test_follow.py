"""Following all runs: what a laptop's platform is asked, and which of it is told."""

from __future__ import annotations

from typing import Any

import pytest

from oscar_events.cli import follow
from oscar_events.cli.follow import PolledRuns


class Runs:
    """A platform with these runs. looks: how often it was asked."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.looks = 0

    async def runs(self, **_: object) -> list[dict[str, Any]]:
        self.looks += 1
        return [{"id": id, "state": state, "attempt": 1, "service": "blur"} for id, state in self.states.items()]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between looks, which take no time here."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("oscar_events.cli.follow.asyncio.sleep", sleep)
    return waited


def told(moved: list[dict[str, Any]]) -> dict[str, str]:
    return {run["id"]: run["state"] for run in moved}


async def test_at_first_the_live_runs_are_told_and_then_what_moves(waits: list[float]) -> None:
    platform = Runs(a="running", b="succeeded")
    feed = PolledRuns(platform)  # type: ignore[arg-type] # what following asks of a platform
    assert told(await feed.moved()) == {"a": "running"}
    platform.states["a"] = "succeeded"
    assert told(await feed.moved()) == {"a": "succeeded"}


async def test_it_waits_between_two_looks_however_much_moves(waits: list[float]) -> None:
    platform = Runs(a="running")
    feed = PolledRuns(platform)  # type: ignore[arg-type] # what following asks of a platform
    for number in range(3):
        platform.states[f"run-{number}"] = "running"
        await feed.moved()
    assert platform.looks == 3
    assert waits == [0, follow.LOOK_S, follow.LOOK_S]
