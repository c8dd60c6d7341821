"""Runs what blocks without asking anybody aside, so that whoever waits for it can still be interrupted.

In:  a call that waits for a network, a checkpoint. Out: what the call returns or raises, or what the checkpoint raises.
Not here: what is called.

The call runs in a thread of its own and gets the checkpoint to ask between its pieces; the caller's thread asks it too
while it waits. A call that hears nothing of an interruption within `_GRACE_S`, because a store is silent, is left to
its own time limits: it must own everything it uses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from oscar_supervisor.storage.port import Checkpoint

# How long an interruption may go unheard while nothing arrives: below what a person notices.
_ASK_S = 0.1
# For removing the parts of an upload that is given up: one request to a store that answers, not one that is away.
_GRACE_S = 2.0

T = TypeVar("T")


def aside(call: Callable[[Checkpoint], T], checkpoint: Checkpoint) -> T:
    """Return call(checkpoint). Raises what it raises, or at most `_GRACE_S` later what the checkpoint raised."""
    asked = _AskedByTwo(checkpoint)
    work = _Work(call, asked)
    # A daemon: the interpreter does not wait for one that was left behind.
    threading.Thread(target=work.run, name="storage", daemon=True).start()
    try:
        while not work.done.wait(_ASK_S):
            asked()
    except BaseException as error:
        asked.refuse(error)
        work.done.wait(_GRACE_S)
        raise
    return work.result()


class _AskedByTwo:
    """A checkpoint for two threads. Once it has raised it raises the same again, as both have to hear it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._raised: BaseException | None = None

    def __call__(self) -> None:
        with self._lock:
            if self._raised is not None:
                raise self._raised
            try:
                self._checkpoint()
            except BaseException as error:
                self._raised = error
                raise

    def refuse(self, error: BaseException) -> None:
        """Raise this from now on."""
        with self._lock:
            self._raised = self._raised or error


class _Work(Generic[T]):
    """A call, and what came of it once `done` is set."""

    def __init__(self, call: Callable[[Checkpoint], T], checkpoint: Checkpoint) -> None:
        self.done = threading.Event()
        self._call, self._checkpoint = call, checkpoint
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    def run(self) -> None:
        try:
            self._returned.append(self._call(self._checkpoint))
        except BaseException as error:  # noqa: BLE001 it is raised where it is waited for
            self._raised = error
        finally:
            self.done.set()

    def result(self) -> T:
        if self._raised is not None:
            raise self._raised
        return self._returned[0]
