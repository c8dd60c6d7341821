"""Where a script runs if this process was started in the user's own container, as OSCAR does it.

In:  a command. Out: the same one, in the environment and the directory this process was started in.
Not here: running it (child_process.py).

There the environment is the user's own: the image's, the service's variables, what OSCAR put beside them. So all of it
goes on, and what OSCAR says of the job wins over what we would; but for the configuration, which holds credentials, and
for what tells of another event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from oscar_supervisor.interruption import Interruption
from oscar_supervisor.oscar_files import CONFIG_VARIABLE, SCRIPT_VARIABLE
from oscar_supervisor.runner import Command, Runner, ScriptEnd

_OF_ANOTHER_EVENT = frozenset({"EVENT", "EVENT_TIME", "STORAGE_OBJECT_KEY", "INPUT_FILE_PATH"})
_NOT_PASSED_ON = {name.encode() for name in (*_OF_ANOTHER_EVENT, CONFIG_VARIABLE, SCRIPT_VARIABLE)}
# Set by OSCAR in the pod; ours stand in for them elsewhere.
_OSCARS = (b"JOB_UUID", b"RESOURCE_ID", b"OSCAR_SERVICE_NAME", b"OSCAR_SERVICE_BASE_PATH")


class OwnContainerRunner(Runner):
    """Run scripts by another runner, in the given surroundings."""

    def __init__(self, runner: Runner, surroundings: Mapping[bytes, bytes], directory: Path) -> None:
        self._runner = runner
        self._inherited = {name: value for name, value in surroundings.items() if name not in _NOT_PASSED_ON}
        self._directory = directory

    def run(self, command: Command, interruption: Interruption, on_start: Callable[[int, float], None]) -> ScriptEnd:
        oscars = {name: self._inherited[name] for name in _OSCARS if name in self._inherited}
        environment = {**self._inherited, **command.environment, **oscars}
        here = replace(command, directory=self._directory, environment=environment)
        return self._runner.run(here, interruption, on_start)
