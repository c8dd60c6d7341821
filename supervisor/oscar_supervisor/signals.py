"""SIGTERM and SIGINT as what may interrupt an attempt.

In:  signals. Out: an `Interruption`, and the exit code that tells of the signal.
Not here: ending the script (child_process.py: TERM, a grace, KILL).

Outside of an attempt a signal ends this process where it is. Within one the first signal is a cancel: the script gets
its grace, nothing is published; once stage-out has begun, it goes on to its end. A second signal ends that too, between
two objects or two pieces of one, so that none is ever half there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from oscar_supervisor.interruption import AbandonedError, Interruption

_WISHES = (signal.SIGTERM, signal.SIGINT)
_READ_BYTES = 64  # signals come by ones and twos


class Signals(Interruption):
    """Listen to the signals from here on. One per process."""

    def __init__(self) -> None:
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._count = 0
        self._first = 0
        self._at_work = False
        for number in _WISHES:
            signal.signal(number, self._receive)

    @property
    def received(self) -> bool:
        """Whether there was a signal: no further attempt is to begin."""
        return self._first != 0

    @property
    def exit_code(self) -> int:
        """What shells say of a process that ended by the signal."""
        return 128 + self._first

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Make signals wishes, not the end, while the block runs."""
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False

    @contextlib.contextmanager
    def obeyed(self) -> Iterator[None]:
        """Make signals the end again, for a block within `deferred`; what is around it is still left in order."""
        self._at_work = False
        try:
            yield
        finally:
            self._at_work = True

    def fileno(self) -> int:
        return self._wake

    def check(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, _READ_BYTES)
        if self._count > 1:
            raise AbandonedError("stopped by a second signal")
        return self._count == 1

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._first = self._first or number
        if not self._at_work:
            raise SystemExit(self.exit_code)
        self._count += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._woken, b"\0")
