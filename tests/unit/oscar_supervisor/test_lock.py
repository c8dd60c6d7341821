"""The lock of an execution is the file everybody else finds, whoever removes it meanwhile."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from oscar_events.holder import decode_holder
from oscar_supervisor.lock import ExecutionLock
from oscar_supervisor.orders import Orders


class Meanwhile(Orders):
    """Orders of nobody; while the lock is waited for, something happens, once."""

    def __init__(self, happens: object) -> None:
        self._happens = happens
        self.waited = 0

    def wait(self, seconds: float) -> None:
        self.waited += 1
        if self.waited == 1:
            self._happens()  # type: ignore[operator]


def test_it_is_made_with_its_directory_and_says_who_holds_it_for_which_attempt(tmp_path: Path) -> None:
    directory = tmp_path / "jobs" / "execution"
    with ExecutionLock(directory, Meanwhile(None), attempt=3):
        holder = decode_holder((directory / "lock").read_bytes())
        assert holder is not None
        assert (holder.worker.pid, holder.script, holder.attempt) == (os.getpid(), None, 3)


def test_who_waits_for_a_lock_that_is_removed_takes_the_one_others_find(tmp_path: Path) -> None:
    directory = tmp_path / "execution"
    directory.mkdir()
    with open(directory / "lock", "w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)

        def removed() -> None:
            shutil.rmtree(directory)
            fcntl.flock(theirs, fcntl.LOCK_UN)

        orders = Meanwhile(removed)
        with ExecutionLock(directory, orders) as lock:
            assert os.path.samestat(os.fstat(lock.descriptor), os.stat(directory / "lock"))
            assert decode_holder((directory / "lock").read_bytes())
    assert orders.waited == 1
