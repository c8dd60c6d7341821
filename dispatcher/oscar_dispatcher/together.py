"""Many wishes of the same kind, carried out by one call: each transaction costs the same, however much it does.

In:  wishes, whenever each comes. Out: what each came to, as if it had been alone.
Not here: what is wished for (schedule.py, watch.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")
A = TypeVar("A")


class _Wish(Generic[W, A]):
    """A wish, and what it came to once that is known."""

    def __init__(self, wanted: W) -> None:
        self.wanted = wanted
        self.answer: A | Exception | None = None
        self.is_done = False

    def came_to(self, answer: A | Exception | None) -> None:
        self.answer, self.is_done = answer, True


class Together(Generic[W, A]):
    """Carries wishes out, one call at a time: the wishes that come during a call go into the next one.

    carry_out: returns an answer for each wish, an exception for what failed alone. If it raises, each wish is carried
    out by itself, so that one that can never be does not take others with it; so what it does twice must be nothing.
    most: wishes of one call.
    """

    def __init__(self, carry_out: Callable[[Sequence[W]], Awaitable[Sequence[A | Exception]]], most: int) -> None:
        self._carry_out, self._most = carry_out, most
        self._waiting: list[_Wish[W, A]] = []
        self._turn = asyncio.Lock()

    async def one(self, wanted: W) -> A:
        """Return what the wish came to. Raises what was raised for it.

        If its caller is cancelled it may be carried out nevertheless.
        """
        wish: _Wish[W, A] = _Wish(wanted)
        self._waiting.append(wish)
        # Who has the turn acts for all who wait; turns come in the order of wishes, so ours is among the first then.
        async with self._turn:
            if not wish.is_done:
                await self._some()
        if isinstance(wish.answer, Exception):
            raise wish.answer
        return wish.answer  # type: ignore[return-value]  # it is done

    async def _some(self) -> None:
        some = self._waiting[: self._most]  # they stay there until they are done, for another if we are cancelled
        try:
            answers = await self._carry_out([wish.wanted for wish in some])
        except Exception as error:  # noqa: BLE001 - it is raised where the wish came from
            if len(some) == 1:
                some[0].came_to(error)
            else:
                for wish in some:
                    wish.came_to(await self._alone(wish.wanted))
        else:
            for wish, answer in zip(some, answers, strict=True):
                wish.came_to(answer)
        del self._waiting[: len(some)]

    async def _alone(self, wanted: W) -> A | Exception:
        try:
            (answer,) = await self._carry_out([wanted])
        except Exception as error:  # noqa: BLE001 - it is raised where the wish came from
            return error
        return answer
