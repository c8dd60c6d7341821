"""What every server of the testbed can be made to do: start, be killed, paused, resumed, stopped.

In:  a command, a log, a test for being ready. Out: one process at a time, bound to the test run.
Not here: what is particular to one server (`<server>.py`).

Starting and stopping wait, for seconds: an asynchronous test calls them by `asyncio.to_thread`.
"""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.platform import until
from tests.testbed.bound import start_bound

# Until a server that was told to stop is killed: longer than any of them takes with a test's few records.
_STOPPING_S = 30.0


class Server(ABC):
    """One server. It keeps port and data over all its starts."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None
    # What it is told to stop by.
    stopped_by = signal.SIGTERM

    @property
    def log(self) -> Path:
        """Return where it writes, over all its starts."""
        return self.directory / "server.log"

    @abstractmethod
    def launch(self) -> None:
        """Start its process and do not wait."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it serves. Asked only while its process is there."""

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.launch()
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until it serves; fails with its log if it ends instead."""
        until(self._is_ready, f"{type(self).__name__} is ready; its log: {self.log}")

    def kill(self) -> None:
        """End it as a power cut would, as far as processes go."""
        self.send(signal.SIGKILL)
        self._wait()

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order if it runs, paused or not."""
        if self.process is not None:
            self.resume()
            self.send(self.stopped_by)
            self._wait()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None, f"{type(self).__name__} does not run"
        self.process.send_signal(number)

    def run(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        """Start this command as the server's process. user: whose process it becomes, if not ours."""
        assert self.process is None, f"{type(self).__name__} runs"
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = start_bound(command, env=env, stdout=log, stderr=log, cwd=cwd, user=user)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-5000:]
        return self.is_ready()

    def _wait(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
