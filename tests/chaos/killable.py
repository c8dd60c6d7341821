"""The running platform of the acceptance tests, also killed at any moment and started with faults in it.

In:  a data directory. Out: a process at a time; what its front answers; the processes it has or left.
Not here: what is run on it (scene.py), whether its answers are right (checker.py).
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from oscar_events.cli.client import FrontClient
from oscar_events.datadir import DataDirectory
from tests.acceptance.platform import COMMAND, DEADLINE_S, RunningPlatform, clean_environment
from tests.chaos.processes import children
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
        return [worker for worker in self.workers() if children(worker)]

    def workers(self) -> list[int]:
        """Return its workers."""
        return children(self.pid)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        found = self.directory.read_up()
        return found is not None and found.pid == self.pid
