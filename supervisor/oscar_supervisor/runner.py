"""The port behind which a user's script runs: a child process here, the user's container in a pod.

In:  a command. Out: how it ended, when nothing of it runs any more.
Not here: what its end means for the attempt (failures.py), its files before and after (pipeline.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from oscar_supervisor.interruption import Interruption

# What a script gets between TERM and KILL: Kubernetes gives 30 s, container engines 10; most need none.
GRACE_S = 10.0


class EndedBy(Enum):
    """Who ended the script."""

    ITSELF = "itself"  # or somebody outside of the platform
    TIMEOUT = "timeout"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Command:
    """A script with all it may see. log: file that shows head and tail of the output while it runs."""

    script: Path
    directory: Path
    environment: dict[bytes, bytes]
    timeout_s: float
    log: Path


@dataclass(frozen=True, slots=True)
class ScriptEnd:
    """How a script ended. exit_code: its own, 128 + n if signal n ended it. times: seconds since 1970."""

    exit_code: int
    signal: int | None
    by: EndedBy
    started_at: float
    ended_at: float
    log: bytes


class Runner(ABC):
    """Where a script runs."""

    @abstractmethod
    def run(self, command: Command, interruption: Interruption, on_start: Callable[[int, float], None]) -> ScriptEnd:
        """Run the script, at most one at a time; return when it and all it started have ended.

        on_start: called once with its process id and the time. On cancel and after timeout_s: TERM, GRACE_S later
        KILL. Raises AbandonedError after killing everything at once, OSError if it could not be started.
        """
