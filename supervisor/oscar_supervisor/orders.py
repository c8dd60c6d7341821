"""The orders of a worker: what the dispatcher sends, read from one pipe by one thread.

In:  frames on a descriptor. Out: one order at a time, and for the attempt under way the answer to "shall I go on?".
Not here: the form of a frame (oscar_events/frames.py), obeying (worker.py).

The end of the pipe is the dispatcher's death, or its wish that this worker goes: from there on everything raises
AbandonedError. Nothing here blocks longer than its caller asked.
"""

from __future__ import annotations

import os
import select
from collections import deque

from oscar_events.frames import HEADER_BYTES, Cancel, Go, Run, body_length, to_worker
from oscar_supervisor.interruption import AbandonedError

_READ_BYTES = 64 * 1024  # a pipe holds no more


class Orders:
    """Read orders from a descriptor. `Interruption` for the attempt that was begun last."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._bytes = bytearray()
        self._waiting: deque[Run | Go] = deque()
        self._cancelled: Cancel | None = None
        self._attempt: tuple[str, int] | None = None

    def fileno(self) -> int:
        return self._descriptor

    def next_run(self) -> Run:
        """Wait for the next attempt and return it; `check` is about it from now on. Raises AbandonedError."""
        while not isinstance(order := self._next(), Run):
            pass  # the answer to a question that was given up
        self._attempt = (order.job.execution, order.job.attempt)
        return order

    def answer(self) -> bool:
        """Wait for the Go to the attempt under way and return whether it may start. Raises AbandonedError."""
        while True:
            order = self._next()
            if isinstance(order, Go) and (order.execution, order.attempt) == self._attempt:
                return order.allowed

    def wait(self, seconds: float) -> None:
        """Wait until an order arrives, at most so long. Raises AbandonedError."""
        self._read(seconds)

    def check(self) -> bool:
        self._read(0)
        cancel = self._cancelled
        return cancel is not None and (cancel.execution, cancel.attempt) == self._attempt

    def _next(self) -> Run | Go:
        while not self._waiting:
            self._read(None)
        return self._waiting.popleft()

    def _read(self, seconds: float | None) -> None:
        if not self._poll.poll(None if seconds is None else seconds * 1000):
            return
        data = os.read(self._descriptor, _READ_BYTES)
        if not data:
            raise AbandonedError("the dispatcher closed the pipe")
        self._bytes += data
        while len(self._bytes) >= HEADER_BYTES:
            end = HEADER_BYTES + body_length(bytes(self._bytes[:HEADER_BYTES]))
            if len(self._bytes) < end:
                return
            order = to_worker(bytes(self._bytes[HEADER_BYTES:end]))
            del self._bytes[:end]
            if isinstance(order, Cancel):
                self._cancelled = order
                continue
            if isinstance(order, Run):
                self._cancelled = None  # it was for an earlier try, perhaps of the same number
            self._waiting.append(order)
