"""Lists that are longer than one answer, read page by page.

In:  what fetches a page. Out: its elements, in memory one page of them.
Not here: what is listed (listing.py and the commands), how it is printed (output.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

# What the front gives at a time (manager/routes/parameters.py, MAX_PAGE).
PAGE = 1000

# (how many, the id of the last element of the page before) -> the next elements, newest first
Fetch = Callable[[int, str | None], Awaitable[list[dict[str, Any]]]]


async def newest_first(fetch: Fetch, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Yield the elements, newest first, at most `limit` of them."""
    before, left = None, limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = await fetch(size, before)
        for element in page:
            yield element
        if len(page) < size:
            return
        before, left = page[-1]["id"], None if left is None else left - size
