"""The real `oscar-events`, as its users have it: commands, files, HTTP; nothing imported from the product.

In:  a directory. Out: a platform that runs on it and is stopped by its recorded pid.
Not here: what is asked of it (the tests beside this).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.testbed.bound import start_bound

T = TypeVar("T")

COMMAND = Path(sys.executable).with_name("oscar-events")
# Generous: two cores shared with other tests. A condition that holds is seen long before.
DEADLINE_S = 60.0
_LOOK_S = 0.05

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"'


def clean_environment() -> dict[str, str]:
    """Return what a bare machine has: no home, no path but the system's."""
    return {"HOME": "", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def until(condition: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Return the condition's first value that is true. Fails with `what` when there is none in time."""
    stop = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < stop, f"not within {deadline_s} s: {what}"
        select.select([], [], [], _LOOK_S)


def oscar_events(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [COMMAND, *arguments], env=clean_environment(), capture_output=True, text=True, timeout=2 * DEADLINE_S
    )


@dataclass
class RunningPlatform:
    """A directory, and the platform on it while there is one."""

    data: Path
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.data.with_name(f"{self.data.name}.log")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = start_bound(
                [COMMAND, "up", "--data", self.data], env=clean_environment(), stdout=log, stderr=log
            )
        until(self.is_ready, f"the platform is ready; its log: {self.log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, wait for its end, return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        self.process = None
        return code

    def up(self) -> dict[str, Any] | None:
        """Return what up.json says."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads((self.data / "up.json").read_text()))
        return None

    def is_ready(self) -> bool:
        """Return whether /readyz answers 200. Fails if the platform has ended meanwhile."""
        assert self.process is None or self.process.poll() is None, self.log.read_text()
        up = self.up()
        if up is None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", up["port"], timeout=DEADLINE_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def ask(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command on this directory."""
        return oscar_events("--data", self.data, *arguments)

    def apply(self, name: str, script: str, bucket: str = "pics", **dispatch: Any) -> subprocess.CompletedProcess[str]:
        """Apply a service from BUCKET/in to BUCKET/out."""
        service = {
            "name": name,
            "image": "docker.io/library/busybox",
            "script": script,
            "input": [{"storage_provider": "local", "path": f"{bucket}/in"}],
            "output": [{"storage_provider": "local", "path": f"{bucket}/out"}],
            "dispatch": dispatch,
        }
        file = self.data.with_name(f"{name}.yaml")
        file.write_text(json.dumps(service))
        return self.ask("apply", file)

    def drop(self, name: str, content: bytes = b"content", bucket: str = "pics") -> Path:
        """Put a file in BUCKET/in as `mv` does; return where its result will be."""
        made = self.data / name
        made.write_bytes(content)
        made.rename(self.data / "buckets" / bucket / "in" / name)
        return self.data / "buckets" / bucket / "out" / name

    def runs(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `runs --json` prints."""
        asked = self.ask("runs", "--json", *arguments)
        assert asked.returncode == 0, asked.stderr
        return list(json.loads(asked.stdout))

    def run_in(self, *states: str) -> dict[str, Any]:
        """Wait until there is a run in one of these states; return the newest."""

        def found() -> dict[str, Any] | None:
            return next((run for run in self.runs() if run["state"] in states), None)

        return until(found, f"a run in {states}")


@contextlib.contextmanager
def running_platform(data: Path) -> Iterator[RunningPlatform]:
    """Start a platform on this directory; end it with the block, whatever happened."""
    platform = RunningPlatform(data)
    try:
        platform.start()
        yield platform
    finally:
        if platform.process is not None:
            platform.process.send_signal(signal.SIGCONT)
            platform.process.terminate()
            try:
                platform.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                platform.process.kill()
                platform.process.wait()
