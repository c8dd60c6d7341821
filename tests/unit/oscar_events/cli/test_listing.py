"""Reading runs page by page, and telling what changed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from oscar_events.cli import paging
from oscar_events.cli.listing import Watch, all_runs
from oscar_events.cli.platform import Platform


class Runs:
    """A platform that has nothing but these runs, newest first; it remembers how many it was asked for."""

    def __init__(self, count: int, state: str = "succeeded") -> None:
        self.runs = [{"id": f"{number:06}", "state": state, "attempt": 1} for number in range(count, 0, -1)]
        self.asked: list[int | None] = []

    def move(self, identity: str, state: str) -> None:
        next(run for run in self.runs if run["id"] == identity)["state"] = state

    async def page(self, *, limit: int | None, before: str | None, **filters: Any) -> list[dict[str, Any]]:
        self.asked.append(limit)
        rest = [run for run in self.runs if before is None or str(run["id"]) < before]
        return [dict(run) for run in rest[:limit]]

    @property
    def platform(self) -> Platform:
        return cast(Platform, type("OnlyRuns", (), {"runs": staticmethod(self.page)}))


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 3)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 7])
async def test_all_pages_together_are_all_runs(count: int) -> None:
    runs = Runs(count)
    assert [run["id"] async for run in all_runs(runs.platform)] == [run["id"] for run in runs.runs]


async def test_no_more_is_asked_for_than_the_limit() -> None:
    runs = Runs(20)
    assert len([run async for run in all_runs(runs.platform, limit=7)]) == 7
    assert runs.asked == [3, 3, 1]


async def test_a_watch_tells_first_what_is_live_and_then_what_changes() -> None:
    runs = Runs(5)
    runs.move("000004", "running")
    watch = Watch(runs.platform)
    assert [run["id"] for run in await watch.changes()] == ["000004"]
    assert await watch.changes() == []
    runs.runs.insert(0, {"id": "000006", "state": "pending", "attempt": 1})
    runs.move("000004", "dead")
    assert [(run["id"], run["state"]) for run in await watch.changes()] == [("000004", "dead"), ("000006", "pending")]
    assert await watch.changes() == []


async def test_a_watch_sees_a_live_run_behind_ended_ones_and_does_not_read_all_of_those() -> None:
    runs = Runs(100)
    runs.move("000098", "running")
    watch = Watch(runs.platform)
    await watch.changes()
    runs.move("000098", "succeeded")
    assert [run["id"] for run in await watch.changes()] == ["000098"]
    assert await watch.changes() == []
    assert len(runs.asked) < 12
