"""Processes as the kernel tells of them: whose children, with which executions, stopped for a while.

In:  process ids. Out: what /proc says of them.
Not here: starting and killing the platform (killable.py, cluster/).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Set
from pathlib import Path


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process in the block; it goes on afterwards, if it still exists."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def children(parent: int) -> list[int]:
    """Return the processes that this one started and that are its own."""
    return [pid for pid, stat in _each_process("stat") if int(stat.rpartition(b")")[2].split()[1]) == parent]


def processes_of(executions: Set[str]) -> list[str]:
    """Return `pid execution` of every process with one of these executions in its environment or arguments."""
    return [
        f"{pid} {word}"
        for file in ("environ", "cmdline")
        for pid, text in _each_process(file)
        for word in executions & set(re.findall(r"\w+", text.decode(errors="replace")))
    ]


def _each_process(file: str) -> Iterator[tuple[int, bytes]]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            yield int(name), Path("/proc", name, file).read_bytes()
