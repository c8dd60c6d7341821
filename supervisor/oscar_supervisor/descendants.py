"""Everything a script left running, found and ended: also what changed its session or closed its output.

In:  nothing but this process. Out: a process without children.
Not here: the script itself and its grace (child_process.py); what outlives a killed worker (the dispatcher's fence.py).

On Linux this process becomes the subreaper: an orphan among its descendants becomes its own child, so killing children
until there are none ends them all. Elsewhere only the script's process group is ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become_subreaper() -> None:
    """Make orphans among this process's descendants its children. Does nothing where the kernel cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kill and reap children, and those they leave behind, until there are none."""
    while _reap():
        for child in _children():
            os.kill(child, signal.SIGKILL)  # a child of ours keeps its number until it is reaped, and that is here
        if sys.platform != "linux":
            return
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)


def _reap() -> bool:
    """Reap what has ended; return whether children are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    if sys.platform != "linux":
        return
    me = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and _parent(name) == me:
            yield int(name)


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
