"""Processes that end with the test run, also if that one is killed and no fixture gets to its end.

In:  a command. Out: its process.
Not here: ending a process in order (server.py, or whoever else starts it).

The kernel sends the signal when the *thread* that started the process ends (prctl(2), PR_SET_PDEATHSIG), and tests
start servers from threads that end before them, as a checkpoint of a transfer that restarts the store. So one thread
starts them all, and lives as long as the run. `setpriv` is part of util-linux; where there is none, as on macOS, the
command stays as it is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

_STARTER = ThreadPoolExecutor(1, "starter-of-servers")


def start_bound(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one dies. Its process id is that of the command itself.

    user: whose process it becomes, of that user's group; only root can. The same `setpriv` does both, as a process that
    becomes another user is bound no longer.
    """
    setpriv = shutil.which("setpriv")
    become = ("--reuid", user, "--regid", user, "--init-groups") if user else ()
    assert setpriv or not become, "only setpriv makes a process another user's"
    bound = [setpriv, *become, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)
    started = _STARTER.submit(
        lambda: subprocess.Popen(bound, env=env, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd)
    )
    return started.result()
