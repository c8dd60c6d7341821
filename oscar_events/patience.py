"""Waiting for somebody else who is away: the one loop that tries again on UnavailableError.

In:  a call that may raise UnavailableError. Out: its value, however long that takes; every other error at once.
Not here: trying executions again (retry.py: that is a decision in the ledger, not a loop).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from oscar_events.errors import UnavailableError
from oscar_events.log import logger
from oscar_events.seldom import Seldom

T = TypeVar("T")

FIRST_WAIT_S = 0.05  # a busy file or a broker's change of leader is over in less than a second
LONGEST_WAIT_S = 5.0  # after a longer outage, work goes on within seconds of its end

_log = logger(__name__)
# Of the process: what many loops wait for at once is said once, whichever of them came first.
_seldom = Seldom()


async def until_available(call: Callable[[], Awaitable[T]], doing: str) -> T:
    """Return the call's value, trying again with growing waits while it raises UnavailableError.

    doing: what is being attempted, for the log, like `claiming events`.
    """
    wait, is_told = FIRST_WAIT_S, False
    while True:
        try:
            value = await call()
        except UnavailableError as error:
            if (left_out := _seldom.due(str(error))) is not None:
                is_told = True
                _log.warning("waiting for somebody else", doing=doing, error=str(error), left_out=left_out)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            wait = min(wait * 2, LONGEST_WAIT_S)
        else:
            if is_told:
                _log.info("it goes on", doing=doing)
            return value
