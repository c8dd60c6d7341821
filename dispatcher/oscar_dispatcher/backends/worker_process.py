"""One long-lived worker as the dispatcher sees it: a process to talk to, and its death.

In:  frames to send. Out: frames it answers, or WorkerDiedError.
Not here: what is said (slot.py), what its death leaves running (fence.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE, Process
from typing import Self

import msgspec

from oscar_dispatcher.backends.port import BackendUnavailableError
from oscar_events import frames
from oscar_events.environment import passed_on_to_workers
from oscar_events.errors import EventError

# A worker told to go kills its script at once; only a machine that swaps, or a worker that hangs, takes longer.
_STOP_S = 15.0


class WorkerDiedError(Exception):
    """The worker has gone, or does not speak our language any more: what it was doing is unknown."""


class WorkerProcess:
    """A running worker. Whoever starts it stops it."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def start(cls, python: str) -> Self:
        """Start a worker. Raises BackendUnavailableError.

        In a session of its own: Ctrl-C at the terminal is for the platform, which then stops its workers in order.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(python, "-P", "-m", "oscar_supervisor.worker"),
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,
                env=passed_on_to_workers(os.environ),
            )
        except OSError as error:
            raise BackendUnavailableError(f"no worker can be started: {error}") from error
        return cls(process)

    async def send(self, message: frames.ToWorker) -> None:
        """Send a frame. A worker that has died is noticed where its answer is awaited, not here."""
        self._stdin.write(frames.frame(message))
        with contextlib.suppress(ConnectionError):
            await self._stdin.drain()

    async def receive(self) -> frames.FromWorker:
        """Return the next frame. Raises WorkerDiedError."""
        try:
            header = await self._stdout.readexactly(frames.HEADER_BYTES)
            return frames.from_worker(await self._stdout.readexactly(frames.body_length(header)))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerDiedError("its worker died") from error
        except (EventError, msgspec.MsgspecError) as error:
            raise WorkerDiedError(f"its worker said what nobody understands: {error}") from error

    def kill(self) -> None:
        """Kill it at once; whoever awaits its answer gets WorkerDiedError."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Close its pipe and wait for its end; kill it if that takes longer than any end in order."""
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.communicate(b"")  # b"", as with None CPython 3.11 leaves the pipe open
        except TimeoutError:
            self.kill()
            await self._process.communicate(b"")
