"""A platform with one service, what is dropped for it, and the evidence of what became of that.

In:  an empty directory. Out: files dropped and journalled, runs awaited, evidence for the checker.
Not here: killing (the tests), judging (checker.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from random import Random

from oscar_events.execution import State
from oscar_events.holder import HOST_NAME, SPARE_PREFIX
from tests.acceptance.platform import DEADLINE_S
from tests.chaos.checker import Evidence
from tests.chaos.journal import PREAMBLE, Journal
from tests.chaos.killable import KillablePlatform
from tests.chaos.processes import processes_of
from tests.waiting import wait_until

BUCKET = "chaos"
# The result of every script here: what checker.result_of recomputes.
SUM = 'sha256sum "$INPUT_FILE_PATH" | cut -d " " -f 1 >"$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH").sum"\n'
# After the end of the last run: its directory is removed in a moment, or never.
_CLEANING_S = 5.0
# Listing runs costs the platform milliseconds: looked at as often as files are, it would do little else.
_LOOK_AGAIN_S = 0.1


class Scene:
    """One directory with a platform on it. dropped: the producer's own journal, `bucket/key` -> content."""

    def __init__(self, root: Path) -> None:
        self.up = KillablePlatform(root / "data")
        self.journal = Journal(root / "journal")
        self.dropped: dict[str, bytes] = {}
        self._outside = root / "outside"
        self._outside.mkdir()
        self._buckets = self.up.directory.buckets

    async def apply(self, body: str, max_attempts: int = 1) -> None:
        """Apply the service. body: its script between the journal's preamble and the result."""
        service = {
            "name": "sum",
            "image": "docker.io/library/busybox",
            "script": PREAMBLE + body + SUM + "say end\n",
            "input": [{"storage_provider": "local.default", "path": f"{BUCKET}/in"}],
            "output": [{"storage_provider": "local.default", "path": f"{BUCKET}/out"}],
            "environment": {"variables": {"JOURNAL": str(self.journal.path)}},
            # A backoff that does not slow the test down; everything killed is tried again within a second.
            "dispatch": {"retry": {"backoff": 0.1, "max_attempts": max_attempts}},
        }
        await self.up.front.apply([service])

    def outside(self, name: str, content: bytes) -> Path:
        """Make a file beside the buckets, on the same file system."""
        file = self._outside / name
        file.write_bytes(content)
        return file

    def move_in(self, file: Path, name: str) -> None:
        """Drop a file by moving it into the input folder."""
        content = file.read_bytes()
        file.rename(self._place(name))
        self._note(name, content)

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file that was complete before it appeared."""
        self.move_in(self.outside(name, content), name)

    async def write(self, name: str, content: bytes, pause_s: float) -> None:
        """Drop a file by writing it where it belongs, with a pause in the middle."""
        half = len(content) // 2
        with self._place(name).open("wb", buffering=0) as file:
            file.write(content[:half])
            await asyncio.sleep(pause_s)
            file.write(content[half:])
        self._note(name, content)

    async def drop_many(self, count: int, random: Random, every_s: float) -> None:
        """Drop so many files, in turn by rename and by writing, at random intervals of every_s on average."""
        for number in range(count):
            content = random.randbytes(random.randint(1, 20_000))
            if number % 2:
                self.drop(f"{number:04}", content)
            else:
                await self.write(f"{number:04}", content, pause_s=random.uniform(0, every_s))
            await asyncio.sleep(random.expovariate(1 / every_s))

    async def all_ended(self) -> None:
        """Wait until every dropped file has a run and all runs have ended; if that never comes, the checker says so."""
        await _given(DEADLINE_S, lambda: self._have_ended(self.dropped.keys()))

    async def flush(self) -> None:
        """Drop one more file and wait until it and all runs there are have ended: what has none by then is lost."""
        self.drop("last", b"last")
        await _given(DEADLINE_S, lambda: self._have_ended({f"{BUCKET}/in/last"}))

    async def evidence(self) -> Evidence:
        """Collect everything, once the platform had time to clean up behind the last run."""
        front = self.up.front
        runs = [{**run, "attempts": (await front.run(run["id"]))["attempts"]} for run in self.up.runs()]
        executions = {run["id"] for run in runs}
        await _given(_CLEANING_S, lambda: not self._leftovers(executions))
        return Evidence(self.dropped, runs, self.journal.scripts(), self.results(), self._leftovers(executions))

    def results(self) -> dict[str, bytes]:
        """Return what is visible in the output folder."""
        folder = self._buckets / BUCKET / "out"
        return {f"{BUCKET}/out/{file.name}": file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}

    def _leftovers(self, executions: set[str]) -> list[str]:
        directory = self.up.directory
        kept = {f"{SPARE_PREFIX}{worker}" for worker in self.up.workers()}  # by workers that live, for the next attempt
        kept |= {HOST_NAME}
        inside = [path for path in directory.jobs.iterdir() if path.name not in kept]
        inside += directory.staging.iterdir()
        expected = {self._buckets / BUCKET / "in", self._buckets / BUCKET / "out"}
        expected |= {self._buckets / name for name in self.dropped}
        strange = [
            path for path in (self._buckets / BUCKET).rglob("*") if path not in expected and path.suffix != ".sum"
        ]
        return [*map(str, inside + strange), *processes_of(executions)]

    async def _have_ended(self, names: Set[str]) -> bool:
        await asyncio.sleep(_LOOK_AGAIN_S)
        runs = await self.up.front.runs()
        told = {f"{run['bucket']}/{run['key']}" for run in runs}
        return told >= names and all(State(run["state"]).is_terminal for run in runs)

    def _place(self, name: str) -> Path:
        return self._buckets / BUCKET / "in" / name

    def _note(self, name: str, content: bytes) -> None:
        self.dropped[f"{BUCKET}/in/{name}"] = content


async def _given(seconds: float, condition: Callable[[], object]) -> None:
    """Wait for the condition, but no longer than that: what did not come is for the checker to find."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wait_until(condition, "never said: the timeout is shorter", 2 * seconds)
