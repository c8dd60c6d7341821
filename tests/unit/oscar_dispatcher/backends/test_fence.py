"""Whatever an interrupted attempt left running is gone when the fence returns, and nothing else is touched."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscar_dispatcher.backends.fence import fence
from oscar_dispatcher.backends.port import BackendUnavailableError
from oscar_events.holder import Holder, Process, boot_id, encode_holder, identify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Child = subprocess.Popen[bytes]


class Directory:
    """The directory of an execution, and processes that belong to it in one way or another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.children: list[Child] = []

    def child(self, *, marked: bool = False, holds_lock: bool = False) -> Child:
        """Start a process. marked: carries the execution's id. holds_lock: as an inherited descriptor."""
        environment = {"OSCAR_EVENTS_EXECUTION": "execution"} if marked else {"OTHER": "execution"}
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT)
        try:
            if holds_lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
            child = subprocess.Popen(
                ["sleep", "60"], env=environment, process_group=0, pass_fds=(lock,) if holds_lock else ()
            )
        finally:
            os.close(lock)
        self.children.append(child)
        return child

    def record(
        self, worker: Process | None, script: Process | None = None, boot: str | None = None, attempt: int = 1
    ) -> None:
        assert worker is not None
        holder = Holder(boot_id() if boot is None else boot, worker, script, attempt)
        self.lock.write_bytes(encode_holder(holder))

    def fence(self, attempt: int = 1) -> None:
        fence(self.path, "execution", attempt, deadline_s=30)
        with open(self.lock) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert self.lock.read_bytes() == b""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    directory = Directory(tmp_path)
    yield directory
    for child in directory.children:
        child.kill()
        child.wait()


def was_killed(child: Child) -> bool:
    return child.poll() is not None


def test_an_execution_that_never_got_a_lock_needs_no_fence(tmp_path: Path) -> None:
    fence(tmp_path / "missing", "execution", 1)
    assert not (tmp_path / "missing").exists()


def test_the_recorded_worker_and_its_scripts_group_are_killed(directory: Directory) -> None:
    worker, script = directory.child(holds_lock=True), directory.child()
    directory.record(identify(worker.pid), identify(script.pid))
    directory.fence()
    assert was_killed(worker)
    script.wait(30)


def test_a_later_attempt_is_left_alone_by_whoever_slept_since_the_earlier_one(directory: Directory) -> None:
    worker, script = directory.child(holds_lock=True), directory.child(marked=True)
    directory.record(identify(worker.pid), identify(script.pid), attempt=2)
    fence(directory.path, "execution", 1, deadline_s=30)
    assert not was_killed(worker)
    assert not was_killed(script)
    directory.fence(attempt=2)
    assert was_killed(worker)


def test_a_recorded_worker_without_a_script_that_lets_go_at_once_is_left_alone(directory: Directory) -> None:
    letting_go = directory.child()
    directory.record(identify(letting_go.pid))
    with open(directory.lock, "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fencing = threading.Thread(target=directory.fence)
        fencing.start()
        lock.truncate(0)
    fencing.join(30)
    assert not fencing.is_alive()
    assert not was_killed(letting_go)


def test_every_process_that_carries_the_execution_is_killed(directory: Directory) -> None:
    stray, other = directory.child(marked=True), directory.child()
    directory.lock.write_bytes(b"half a rec")
    directory.fence()
    assert was_killed(stray)
    assert not was_killed(other)


def test_a_process_that_hides_but_holds_the_lock_is_killed(directory: Directory) -> None:
    hidden = directory.child(holds_lock=True)
    directory.fence()
    assert was_killed(hidden)


def test_a_worker_that_went_on_to_another_execution_is_left_alone(directory: Directory) -> None:
    """The lock is free, so the worker that is recorded has let go of it: whatever it does now is none of ours."""
    worker = directory.child()
    directory.record(identify(worker.pid))
    directory.fence()
    assert not was_killed(worker)


@pytest.mark.parametrize("why", ["another process has its number now", "the machine was started anew"])
def test_a_process_that_is_not_the_recorded_one_is_left_alone(directory: Directory, why: str) -> None:
    holder, bystander = directory.child(holds_lock=True, marked=True), directory.child()
    recorded = identify(bystander.pid)
    assert recorded is not None
    assert recorded.start is not None
    if why == "the machine was started anew":
        directory.record(recorded, recorded, boot="an earlier one")
    else:
        earlier = Process(recorded.pid, recorded.start - 1)
        directory.record(earlier, earlier)
    directory.fence()
    assert was_killed(holder)
    assert not was_killed(bystander)


def test_an_attempt_that_ended_in_good_order_costs_no_search(directory: Directory) -> None:
    marked = directory.child(marked=True)
    directory.lock.write_bytes(b"")
    directory.fence()
    assert not was_killed(marked)


def test_a_lock_that_never_gets_free_is_said_so(directory: Directory) -> None:
    with open(directory.lock, "w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        with pytest.raises(BackendUnavailableError, match="its lock stays taken"):
            fence(directory.path, "execution", 1, deadline_s=0.05)
