"""The stage of the tour: the whole platform on a directory of its own, run as `oscar-events up` runs it.

In:  services, files, questions. Out: runs and results.
Not here: the command line (tests/acceptance), killing the platform itself (tests/chaos).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oscar_events.cli.client import FrontClient
from oscar_events.datadir import DataDirectory
from oscar_events.execution import State
from oscar_events.lifecycle import Stop
from oscar_events.standalone import Standalone, StandaloneSettings
from tests.waiting import running, wait_until

ENDED = {state.value for state in State if state.is_terminal}


class Platform:
    """A running platform, and the hands of its user. gate: a file that scripts of the tour wait for."""

    def __init__(self, path: Path) -> None:
        self._directory = DataDirectory(path / "data")
        self._running = contextlib.AsyncExitStack()
        self.gate = path / "gate"
        self.wait_for_gate = f"until [ -e {self.gate} ]; do sleep 0.01; done\n"

    async def start(self) -> None:
        """Start the platform, and return when it is ready."""
        self._stop = Stop()
        settings = StandaloneSettings(concurrency=2, reconcile_every=timedelta(seconds=1))
        front = asyncio.Event()
        platform = Standalone(self._directory, settings, self._stop)
        self._task = await self._running.enter_async_context(running(platform.run(lambda port: front.set())))
        await wait_until(front.is_set, "the front")
        up = self._directory.read_up()
        assert up is not None
        self.ask = FrontClient(up)
        await wait_until(self.ask.is_ready, "the platform to be ready")

    async def stop(self) -> None:
        """Stop the platform at once, as an impatient user does: what runs is cut off."""
        self._stop.request()
        self._stop.request()
        await wait_until(self._task.done, "the platform to stop")
        await self._running.aclose()

    async def apply(self, name: str, script: str, source: str = "pics/in", to: str = "pics/out", **more: Any) -> None:
        """Apply a service; more: further keys of its definition, those of the input as `only`."""
        place = {"storage_provider": "local", "path": source, **more.pop("only", {})}
        output = {"storage_provider": "local", "path": to}
        document = {"name": name, "image": "busybox", "script": script, "input": [place], "output": [output]}
        await self.ask.apply([{**document, **more}])

    def path(self, name: str) -> Path:
        """Return where an object, named like `pics/in/a.png`, lies as a file."""
        return self._directory.buckets / name

    def drop(self, name: str, content: str = "a picture") -> None:
        """Put a file in a bucket."""
        self.path(name).write_text(content)

    async def runs(self) -> list[dict[str, Any]]:
        """Return all runs, oldest first."""
        return list(reversed(await self.ask.runs()))

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the runs once so many have ended; there must be no other."""

        async def so_many() -> bool:
            return sum(run["state"] in ENDED for run in await self.runs()) >= count

        await wait_until(so_many, f"{count} runs to end")
        runs = await self.runs()
        assert len(runs) == count
        return runs

    async def started(self) -> dict[str, Any]:
        """Return the one run once its script runs."""

        async def is_running() -> bool:
            return [run["state"] for run in await self.runs()] == [State.RUNNING]

        await wait_until(is_running, "the script to run")
        return (await self.runs())[0]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(tmp_path)
    await platform.start()
    yield platform
    await platform.stop()
