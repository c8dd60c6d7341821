"""The running platform of the acceptance tests, also killed at any moment and started with faults in it.

In:  a data directory. Out: a process at a time; what its front answers; the processes it has or left.
Not here: what is run on it (scene.py), whether its answers are right (checker.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from oscar_events.cli.client import FrontClient
from oscar_events.datadir import DataDirectory
from tests.acceptance.platform import COMMAND, DEADLINE_S, RunningPlatform, clean_environment
from tests.waiting import wait_until

_CHECKOUT = Path(__file__).parents[2]


class KillablePlatform(RunningPlatform):
    """`up` on one directory, never two processes at a time but by `another`."""

    @property
    def directory(self) -> DataDirectory:
        return DataDirectory(self.data)

    @property
    def front(self) -> FrontClient:
        found = self.directory.read_up()
        assert found is not None
        return FrontClient(found)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def another(self) -> KillablePlatform:
        """Return a second one on the same directory."""
        return KillablePlatform(self.data)

    def launch(self, *faults: str) -> None:
        """Start it, and do not wait. faults: of faults.py; none = the product as it is."""
        assert self.process is None
        program = [sys.executable, "-m", "tests.chaos.faults", ",".join(faults)] if faults else [str(COMMAND)]
        # Twice as many runs as cores, as the scripts here mostly sleep.
        arguments = ["--data", str(self.data), "up", "--concurrency", "4"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, *arguments], env=clean_environment(), cwd=_CHECKOUT, stdout=log, stderr=log
            )

    async def begin(self, *faults: str) -> None:
        """Start it and return when its front listens: only then its parts begin to run."""
        self.launch(*faults)
        await wait_until(self._listens, "the front listens", DEADLINE_S)

    async def begin_ready(self, *faults: str) -> None:
        """Start it and return when it is ready."""
        await self.begin(*faults)
        await wait_until(self.is_ready, "the platform is ready", DEADLINE_S)

    async def end(self) -> int:
        """Wait until it has ended by itself; return its exit code."""
        process = self.process
        assert process is not None
        await wait_until(lambda: process.poll() is not None, "the platform ends", DEADLINE_S)
        self.process = None
        return process.returncode

    def kill(self) -> None:
        """Kill the main process alone."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def busy_workers(self) -> list[int]:
        """Return those of its workers that have a script."""
        return [worker for worker in self.workers() if _children(worker)]

    def workers(self) -> list[int]:
        """Return its workers."""
        return _children(self.pid)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        found = self.directory.read_up()
        return found is not None and found.pid == self.pid


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process in the block; it goes on afterwards, if it still exists."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def processes_of(executions: Set[str]) -> list[str]:
    """Return `pid execution` of every process with one of these executions in its environment or arguments."""
    return [
        f"{pid} {word}"
        for file in ("environ", "cmdline")
        for pid, text in _each_process(file)
        for word in executions & set(re.findall(r"\w+", text.decode(errors="replace")))
    ]


def _children(parent: int) -> list[int]:
    return [pid for pid, stat in _each_process("stat") if int(stat.rpartition(b")")[2].split()[1]) == parent]


def _each_process(file: str) -> Iterator[tuple[int, bytes]]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            yield int(name), Path("/proc", name, file).read_bytes()
