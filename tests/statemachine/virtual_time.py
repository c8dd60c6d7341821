"""An event loop whose clock jumps: what would wait is at once where it waited for.

In:  coroutines. Out: what they return, however many hours they slept.
Not here: threads and sockets, which know only the real clock: nothing run here may use them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

# The clock's beginning, in seconds since 1970: whatever is compared with files or certificates looks plausible.
BEGINNING = 1_800_000_000.0


class NothingWillHappenError(AssertionError):
    """Every task waits for another one: a deadlock of what is tested, or of the test."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappenError("no task is ready, and none waits for a time")
        self.elapsed += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Its clock starts at zero."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed

    def wall(self) -> float:
        """Return the time of day, seconds since 1970."""
        return BEGINNING + self.time()


@contextmanager
def clocks_follow(loop: VirtualLoop, *modules: ModuleType) -> Iterator[None]:
    """Have these modules see the loop's clock in place of the `time` module they imported."""
    clock = mock.Mock(spec=["time", "time_ns", "monotonic", "monotonic_ns"])
    clock.time.side_effect = loop.wall
    clock.time_ns.side_effect = lambda: int(loop.wall() * 1e9)
    clock.monotonic.side_effect = loop.time
    clock.monotonic_ns.side_effect = lambda: int(loop.time() * 1e9)
    patches: list[Any] = [mock.patch.object(module, "time", clock) for module in modules if hasattr(module, "time")]
    patches += [mock.patch.object(module, "monotonic", loop.time) for module in modules if hasattr(module, "monotonic")]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
