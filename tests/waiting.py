"""The one way in which tests wait: for a condition, to a generous deadline, and never for a time.

In:  a condition, plain or asynchronous. Out: what made it true, or a failed test that says what was waited for.
Not here: waiting in the product (oscar_events/patience.py).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

import pytest

T = TypeVar("T")

DEADLINE_S = 30.0  # of what happens within milliseconds, unless the product is broken or the machine drowned
# Short beside what is waited for (a commit, the start of a process), long beside the cost of looking.
_LOOK_AGAIN_S = 0.002


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], what: str, deadline: float = ...) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], what: str, deadline: float = ...) -> T: ...
async def wait_until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE_S) -> Any:
    """Return the condition's value once it is true. Fails the test after deadline seconds, saying what was awaited."""
    try:
        async with asyncio.timeout(deadline):
            while not (value := await _value(condition())):  # noqa: ASYNC110 files and rows set no Event
                await asyncio.sleep(_LOOK_AGAIN_S)
            return value
    except TimeoutError:
        pytest.fail(f"waited {deadline:g} s for {what}")


async def _value(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


@asynccontextmanager
async def running(part: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a part of the platform beside the block, and cancel it after; what it raises, the block's owner gets."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(part)
        yield task
        task.cancel()
