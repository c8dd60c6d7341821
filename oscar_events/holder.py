"""Who holds the lock of an execution: written into the lock file by the worker, read by whoever fences it.

In:  process ids. Out: identities that a later process of the same number cannot take over.
Not here: taking the lock (oscar_supervisor/lock.py), killing its holder (oscar_dispatcher/backends/fence.py).

Where there is no /proc (macOS) start time and boot id are unknown: a process is then known by its number alone.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import msgspec

# The variable that marks every process of an execution; whoever fences searches /proc for it.
EXECUTION_VARIABLE = "OSCAR_EVENTS_EXECUTION"
LOCK_NAME = "lock"
# Beside the executions' directories: which host they belong to (oscar_dispatcher/backends/host.py).
HOST_NAME = ".host"
LOG_NAME = "log"
# Beside the executions' directories: what a worker keeps for its next attempt; its process id follows.
SPARE_PREFIX = ".spare-"
# Field 22 of /proc/<pid>/stat counted from behind the command's closing parenthesis, where field 3 stands first.
_START_FIELD = 22 - 3


class Process(msgspec.Struct, frozen=True):
    """One process for all time. start: clock ticks since boot, None where it cannot be known."""

    pid: int
    start: int | None

    def is_running(self) -> bool:
        """Return whether this very process still exists (a zombie does)."""
        return identify(self.pid) == self


class Holder(msgspec.Struct, frozen=True):
    """The worker that took the lock and, once it runs, the script, whose pid is that of its process group.

    boot: none of them exists after a restart of the machine, whatever has their numbers then.
    attempt: of the execution; 0 is that of a version that did not write it.
    """

    boot: str
    worker: Process
    script: Process | None = None
    attempt: int = 0


def encode_holder(holder: Holder) -> bytes:
    """Return the holder as it stands in the lock file."""
    return msgspec.json.encode(holder)


def decode_holder(data: bytes) -> Holder | None:
    """Return the holder in a lock file, None if it is empty or cut short: then nobody had got as far as a script."""
    try:
        return msgspec.json.decode(data, type=Holder)
    except msgspec.DecodeError:
        return None


def identify(pid: int) -> Process | None:
    """Return the process that has this number now, None if none has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None if _has_proc() or not _exists(pid) else Process(pid, None)
    return Process(pid, int(stat.rpartition(b")")[2].split()[_START_FIELD]))


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from any other, empty where it cannot be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""


@cache
def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
