"""The lock of an execution: whoever holds it runs its script, nobody else does (design §3.6).

In:  the execution's directory. Out: a descriptor with an exclusive flock; the script inherits it, so the lock lives as
long as anything of the attempt lives.
Not here: ending its holder (oscar_dispatcher/backends/fence.py), what is written into it (oscar_events/holder.py).
"""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from oscar_events.holder import LOCK_NAME, Holder, Process, boot_id, encode_holder, identify
from oscar_supervisor.orders import Orders

# Only a worker that was overtaken by a fence ever waits: short enough to go unnoticed beside the fence itself.
_RETRY_S = 0.05


class ExecutionLock:
    """Hold the lock of an execution, as a context manager; entering waits for it. Raises AbandonedError."""

    def __init__(self, directory: Path, orders: Orders) -> None:
        self._path = directory / LOCK_NAME
        self._orders = orders
        self.descriptor = -1

    def __enter__(self) -> Self:
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not self._taken():
                self._orders.wait(_RETRY_S)
            self.record(None)
        except BaseException:
            os.close(self.descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def record(self, script: int | None) -> None:
        """Write down who holds the lock: this process and, once it runs, the script with this process id."""
        holder = encode_holder(Holder(boot_id(), _this_process(), identify(script) if script else None))
        os.pwrite(self.descriptor, holder, 0)
        os.ftruncate(self.descriptor, len(holder))

    def clear(self) -> None:
        """Write down that nothing of the attempt runs any more: whoever comes next has nobody to kill."""
        os.ftruncate(self.descriptor, 0)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@cache
def _this_process() -> Process:
    """Return this worker. Once: reading /proc costs a tenth of a millisecond, a fifth of what a short script takes."""
    return identify(os.getpid()) or Process(os.getpid(), None)
