"""Wishes that come while others are carried out share the next call, and each gets an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from oscar_dispatcher.together import Together
from tests.waiting import wait_until


class Calls:
    """What is called: it doubles numbers, waits where it is told to, and never can do some."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.impossible: set[int] = set()
        self.refused: set[int] = set()

    async def carry_out(self, wanted: Sequence[int]) -> list[int | Exception]:
        self.made.append(list(wanted))
        await self.may_answer.wait()
        if self.impossible & set(wanted):
            raise ValueError(f"one of {wanted} can never be")
        return [LookupError(str(one)) if one in self.refused else one * 2 for one in wanted]


@pytest.fixture
async def calls() -> Calls:
    return Calls()


async def answers(together: Together[int, int], *wanted: int) -> list[int | BaseException]:
    return await asyncio.gather(*(together.one(one) for one in wanted), return_exceptions=True)


async def test_what_comes_during_a_call_shares_the_next_one_up_to_its_most(calls: Calls) -> None:
    together = Together[int, int](calls.carry_out, most=3)
    calls.may_answer.clear()
    first = asyncio.create_task(together.one(1))
    await wait_until(lambda: calls.made, "the first call")
    others = asyncio.create_task(answers(together, 2, 3, 4, 5))
    await asyncio.sleep(0)  # so that they wait
    calls.may_answer.set()
    assert (await first, await others) == (2, [4, 6, 8, 10])
    assert calls.made == [[1], [2, 3, 4], [5]]


async def test_one_that_is_refused_keeps_no_other_from_its_answer(calls: Calls) -> None:
    calls.refused = {2}
    one, two, three = await answers(Together[int, int](calls.carry_out, most=10), 1, 2, 3)
    assert (one, three) == (2, 6)
    assert isinstance(two, LookupError)


async def test_one_that_can_never_be_takes_no_other_with_it(calls: Calls) -> None:
    calls.impossible = {2}
    one, two, three = await answers(Together[int, int](calls.carry_out, most=10), 1, 2, 3)
    assert (one, three) == (2, 6)
    assert str(two) == "one of [2] can never be"


async def test_others_are_carried_out_when_who_acts_for_them_is_cancelled(calls: Calls) -> None:
    together = Together[int, int](calls.carry_out, most=10)
    calls.may_answer.clear()
    acting = asyncio.create_task(together.one(1))
    await wait_until(lambda: calls.made, "the first call")
    others = asyncio.create_task(answers(together, 2, 3))
    await asyncio.sleep(0)  # so that they wait
    acting.cancel()
    calls.may_answer.set()
    assert await others == [4, 6]
    with pytest.raises(asyncio.CancelledError):
        await acting
