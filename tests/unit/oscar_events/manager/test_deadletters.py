"""Dead letters as people see them, and the same through the front."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oscar_events.cli.again import DeadLetters
from oscar_events.cli.client import FrontClient
from oscar_events.datadir import Up
from oscar_events.errors import ConfigurationError, NotFoundError
from oscar_events.ledger.port import Ledger
from oscar_events.manager.control import Control
from oscar_events.manager.deadletters import MAX_STEP
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish


async def dead(control: Control, ledger: Ledger, blur: dict[str, Any], key: str = "in/a.png") -> str:
    """Return a run that was given up on."""
    [applied] = await control.apply([blur])
    await drop(ledger, key)
    epoch, leased = await begin(ledger, applied["uid"])
    await finish(ledger, epoch, leased, exit_code=3, log=b"a\nno: \xff")
    return leased.execution


async def test_a_dead_letter_is_shown_with_its_event_and_what_its_script_said_last(
    control: Control, ledger: Ledger, blur: dict[str, Any]
) -> None:
    run = await dead(control, ledger, blur, "in/für %41+.png")
    shown = await control.deadletters.show(run[:12])
    assert (shown["id"], shown["failure"], shown["exit_code"], shown["refused"]) == (run, "user", 3, "")
    assert (shown["event"]["bucket"], shown["event"]["key"]) == ("pics", "in/für %41+.png")
    assert shown["attempts"][0]["log_tail"] == "a\nno: \N{REPLACEMENT CHARACTER}"


async def test_sending_one_again_wakes_the_scheduler(
    control: Control, ledger: Ledger, woken: list[str], blur: dict[str, Any]
) -> None:
    run = await dead(control, ledger, blur)
    [answer] = await control.deadletters.redrive([run[:12]])
    assert (answer["id"], answer["verdict"], woken) == (run, "done", ["woken"])
    assert [one["id"] for one in await control.runs(state="pending")] == [answer["run"]]


async def test_what_is_asked_for_wrongly_is_refused_with_what_would_be_right(control: Control) -> None:
    with pytest.raises(ConfigurationError, match="'mine' is no class of failure; one of user, resource"):
        await control.deadletters.page(failure="mine")
    with pytest.raises(NotFoundError, match="no run 'nowhere'"):
        await control.deadletters.redrive(["nowhere"])
    with pytest.raises(ConfigurationError, match=f"{MAX_STEP} at most"):
        await control.deadletters.purge(["x"] * (MAX_STEP + 1))


async def test_the_front_answers_about_dead_letters_as_the_control_does(
    control: Control, ledger: Ledger, up: Up, blur: dict[str, Any]
) -> None:
    first = await dead(control, ledger, blur)
    second = await dead(control, ledger, blur, "in/b.png")
    asked: DeadLetters = FrontClient(up).deadletters
    assert await asked.page() == await control.deadletters.page()
    assert await asked.page(service="blur", failure="user", limit=1) == (await control.deadletters.page())[:1]
    assert await asked.page(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert await asked.show(first) == await control.deadletters.show(first)
    [answer] = await asked.redrive([first], same_revision=True)
    assert answer["verdict"] == "done"
    assert [one["verdict"] for one in await asked.purge([second])] == ["done"]
    assert await asked.page() == []
    with pytest.raises(NotFoundError, match="no run 'nowhere'"):
        await asked.show("nowhere")
