"""Many things, done in steps and told one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import typer

from oscar_events.cli.steps import check_choice, in_steps, tell, tell_one
from oscar_events.errors import ConfigurationError, ConflictError


async def names(count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield str(number)


class Steps:
    """Does everything it is given, and remembers in which steps. refused: what it refuses."""

    def __init__(self, *refused: str) -> None:
        self.sizes: list[int] = []
        self._refused = refused

    async def __call__(self, ids: list[str]) -> list[dict[str, Any]]:
        self.sizes.append(len(ids))
        return [
            {"id": one, "verdict": "refused" if one in self._refused else "done", "reason": "", "run": None}
            for one in ids
        ]


async def test_each_is_done_once_in_steps_that_a_transaction_bears() -> None:
    steps = Steps()
    answers = [answer["id"] async for answer in in_steps(names(250), steps, None)]
    assert answers == [str(number) for number in range(250)]
    assert steps.sizes == [100, 100, 50]


async def test_a_rate_makes_steps_smaller_and_waits_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    steps = Steps()
    assert len([answer async for answer in in_steps(names(25), steps, 10)]) == 25
    assert (steps.sizes, slept) == ([10, 10, 5], [1.0, 1.0])
    slept.clear()
    assert len([answer async for answer in in_steps(names(400), Steps(), 200)]) == 400
    assert slept == [0.5] * 4


async def test_what_became_of_each_is_told_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        await tell(in_steps(names(3), Steps("1"), None), False, "sent again", "dead letters")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out.splitlines() == [
        "0 sent again",
        "1 refused",
        "2 sent again",
        "dead letters: 2 sent again, 1 refused",
    ]


async def test_scripts_get_one_json_array(capsys: pytest.CaptureFixture[str]) -> None:
    await tell(in_steps(names(2), Steps(), None), True, "purged", "dead letters")
    assert [answer["id"] for answer in json.loads(capsys.readouterr().out)] == ["0", "1"]


def test_one_thing_that_is_refused_is_an_error_and_one_done_before_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConflictError, match=r"^a: it lives$"):
        tell_one([{"id": "a", "verdict": "refused", "reason": "it lives"}], False, "purged")
    tell_one([{"id": "a", "verdict": "already", "reason": "it was sent again before", "run": "b"}], False, "sent again")
    assert capsys.readouterr().out == "a left as it is: it was sent again before, as run b\n"


@pytest.mark.parametrize(
    ("one", "filters", "everything", "is_fine"),
    [
        ("a", [], False, True),
        (None, ["blur"], False, True),
        (None, [], True, True),
        (None, ["blur"], True, True),
        (None, [None], False, False),  # everything is never meant by saying nothing
        ("a", ["blur"], False, False),
        ("a", [], True, False),
    ],
)
def test_what_is_meant_must_be_said(
    one: str | None, filters: list[str | None], everything: bool, is_fine: bool
) -> None:
    if is_fine:
        check_choice(one, filters, everything, "RUN")
    else:
        with pytest.raises(ConfigurationError, match="RUN"):
            check_choice(one, filters, everything, "RUN")
