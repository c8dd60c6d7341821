"""The lock of an execution: whoever holds it runs its script, nobody else does (design §3.6).

In:  the execution's directory, made if it is not there. Out: a descriptor with an exclusive flock; the script inherits
it, so the lock lives as long as anything of the attempt lives.
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
    """Hold the lock of an execution, as a context manager; entering waits for it. Raises AbandonedError.

    attempt: which one of the execution holds it.
    """

    def __init__(self, directory: Path, orders: Orders, attempt: int = 0) -> None:
        self._path = directory / LOCK_NAME
        self._orders = orders
        self._attempt = attempt
        self.descriptor = -1

    def __enter__(self) -> Self:
        while not self._entered():
            pass
        return self

    def _entered(self) -> bool:
        """Take the lock; False if its file was removed meanwhile, by whoever found that nothing runs any more."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False  # the directory was
        is_ours = False
        try:
            while not self._taken():
                self._orders.wait(_RETRY_S)
            is_ours = self._is_in_place()
            if is_ours:
                self.record(None)
        finally:
            if not is_ours:
                os.close(self.descriptor)
        return is_ours

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def record(self, script: int | None) -> None:
        """Write down who holds the lock: this process and, once it runs, the script with this process id."""
        running = identify(script) if script else None
        holder = encode_holder(Holder(boot_id(), _this_process(), running, self._attempt))
        os.pwrite(self.descriptor, holder, 0)
        os.ftruncate(self.descriptor, len(holder))

    def clear(self) -> None:
        """Write down that nothing of the attempt runs any more: whoever comes next has nobody to kill."""
        os.ftruncate(self.descriptor, 0)

    def _is_in_place(self) -> bool:
        """Whether the lock is the file that everybody else finds; it cannot go away while it is held."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

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
