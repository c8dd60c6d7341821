"""Runs a command and prints what it and all it waited for took: CPU in seconds, peak memory in KiB.

A process of its own, because the kernel counts the memory of whoever starts a program towards that program's peak: this
one has 10 MiB, pytest 50.
"""

from __future__ import annotations

import os
import sys


def main(command: list[str]) -> None:
    """Print a line, and end as the command did. Its output goes to nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, nowhere, descriptor) for descriptor in (0, 1)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
