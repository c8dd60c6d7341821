"""The contract of backends, kept by real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oscar_dispatcher.backends.local_process import ProcessBackend
from tests.contracts.backend import BackendContract, Scene


class ProcessScene(Scene):
    def __init__(self, backend: ProcessBackend, directory: Path) -> None:
        self.backend = backend
        self._directory = directory

    def script(self, execution: str) -> str:
        started, released = self._directory / f"{execution}.started", self._directory / f"{execution}.released"
        return f"echo hello; echo started >> {started}; until [ -e {released} ]; do sleep 0.02; done"

    async def starts(self, execution: str) -> int:
        started = self._directory / f"{execution}.started"
        return len(started.read_text().split()) if started.exists() else 0

    async def release(self, execution: str) -> None:
        (self._directory / f"{execution}.released").touch()


class TestProcessBackend(BackendContract):
    @pytest.fixture
    async def scene(self, tmp_path: Path) -> AsyncIterator[Scene]:
        async with ProcessBackend(tmp_path / "jobs", workers=2) as backend:
            yield ProcessScene(backend, tmp_path)
