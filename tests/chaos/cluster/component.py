"""One `oscar-events ingest` or `oscar-events dispatcher`, killed and started like any server.

In:  the directory with the platform's configuration, a port. Out: a process that answers /readyz.
Not here: what the configuration says (installation.py).
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.platform import COMMAND, clean_environment
from tests.chaos.processes import children
from tests.testbed.ports import free_port
from tests.testbed.server import Server

_CHECKOUT = Path(__file__).parents[3]


@dataclass
class Component(Server):
    """One component. data: the platform's directory. faults: of faults.py, in force from its next start."""

    kind: str
    directory: Path
    data: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        by_faults = [sys.executable, "-m", "tests.chaos.faults", ",".join(self.faults)]
        program = by_faults if self.faults else [str(COMMAND)]
        listen = {f"OSCAR_EVENTS_{self.kind.upper()}__LISTEN": f"127.0.0.1:{self.port}"}
        environment = {**clean_environment(), **listen, **self.variables}
        self.run([*program, "--data", self.data, self.kind], env=environment, cwd=_CHECKOUT)

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def workers(self) -> list[int]:
        """Return its workers; only the dispatcher that schedules has any."""
        return [] if self.process is None else children(self.process.pid)

    def ended_by_itself(self) -> bool:
        """Return whether it ended although nobody killed it."""
        return self.process is not None and self.process.poll() is not None
