"""Ends what an interrupted attempt left running on this host, and returns only when nothing of it can run any more.

In:  the directory of an execution with its lock file, the attempt that is to have ended. Out: the lock is free and no
process carries the execution's id; or a later attempt runs, before which somebody else has fenced this one.
Not here: taking the lock (the worker, oscar_supervisor/lock.py), saying what became of the attempt (local_process.py).

Killed are, until none is left: the recorded worker and its script's group while they are the processes that were
recorded; every process with the execution's id in its environment; every process that has the lock file open.
Without /proc (macOS) only the first two, by number alone: what left the script's group there is awaited, not killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from oscar_dispatcher.backends.port import BackendUnavailableError
from oscar_events.holder import EXECUTION_VARIABLE, LOCK_NAME, Holder, Process, boot_id, decode_holder, identify

# A killed process is gone within a millisecond unless the kernel holds it in I/O; somebody has to look at it then.
_DEADLINE_S = 60.0
_LOOK_AGAIN_S = 0.01
# A worker whose attempt has just ended, or was not permitted, lets go of the lock within a millisecond and must not be
# killed: it is free for another execution. What holds the lock longer than this without a recorded script is a stray.
_PATIENCE_S = 1.0


def fence(directory: Path, execution: str, attempt: int, deadline_s: float = _DEADLINE_S) -> None:
    """End everything of the execution up to this attempt. Blocks: call it in a thread.

    A dispatcher that slept while another took over leaves alone what that one has started. Raises
    BackendUnavailableError if something of it survives the deadline, or nobody can look.
    """
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # no worker ever got as far as its lock
    except OSError as error:
        raise BackendUnavailableError(f"the lock of {execution} cannot be opened: {error}") from error
    try:
        _fence(lock, execution, attempt, deadline_s)
    except OSError as error:
        raise BackendUnavailableError(f"the processes of {execution} cannot be found: {error}") from error
    finally:
        os.close(lock)


def has_ended(directory: Path) -> bool:
    """Return whether nothing of the execution can run any more: its lock is free and empty, or was never made."""
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _take(lock) and not os.pread(lock, 1, 0)
    finally:
        os.close(lock)


def _fence(lock: int, execution: str, attempt: int, deadline_s: float) -> None:
    begin = time.monotonic()
    while True:
        free = _take(lock)
        record = os.pread(lock, 4096, 0)
        if free and not record:
            return  # the last attempt ended in good order
        waited = time.monotonic() - begin
        holder = None if free else decode_holder(record)
        if holder is not None and holder.attempt > attempt:
            return
        found = _kill_holder(holder) if holder and (holder.script or waited > _PATIENCE_S) else []
        found += _kill(_carries(execution))
        if not found and free:
            os.ftruncate(lock, 0)
            return
        if not found and waited > _PATIENCE_S:
            found = _kill(_has_open(lock))
        if waited > deadline_s:
            raise BackendUnavailableError(f"processes of {execution} do not end: {found or 'its lock stays taken'}")
        time.sleep(_LOOK_AGAIN_S)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill_holder(holder: Holder) -> list[int]:
    if holder.boot != boot_id():
        return []
    killed = []
    if holder.worker.is_running():
        killed += _signal(os.kill, holder.worker)
    if holder.script is not None and holder.script.is_running():
        killed += _signal(os.killpg, holder.script)
    return killed


def _signal(kill: Callable[[int, int], None], process: Process) -> list[int]:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(process.pid, signal.SIGKILL)
        return [process.pid]
    return []


def _kill(matches: Callable[[str], bool]) -> list[int]:
    killed = []
    for pid in _processes():
        before = identify(pid)
        if before is not None and _asked(matches, pid) and before.is_running():
            killed += _signal(os.kill, before)
    return killed


def _processes() -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())


def _asked(matches: Callable[[str], bool], pid: int) -> bool:
    """Ask about a process; one that has gone, or is somebody else's, is none of ours."""
    try:
        return matches(f"/proc/{pid}")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _carries(execution: str) -> Callable[[str], bool]:
    entry = f"{EXECUTION_VARIABLE}={execution}".encode()
    return lambda process: entry in Path(process, "environ").read_bytes().split(b"\0")


def _has_open(lock: int) -> Callable[[str], bool]:
    this = os.fstat(lock)

    def matches(process: str) -> bool:
        for file in Path(process, "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                if os.path.samestat(this, file.stat()):
                    return True
        return False

    return matches
