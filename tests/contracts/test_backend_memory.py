"""The contract of backends, kept by the double."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from oscar_dispatcher.backends.memory import MemoryBackend
from tests.contracts.backend import BackendContract, Scene


class MemoryScene(Scene):
    def __init__(self, backend: MemoryBackend) -> None:
        self.backend: MemoryBackend = backend

    def script(self, execution: str) -> str:
        return "true"

    async def starts(self, execution: str) -> int:
        return sum(job.execution == execution for job in self.backend.submitted)

    async def runs(self, execution: str) -> None:
        self.backend.start(execution)
        self.backend.print(execution, b"hello\n")

    async def release(self, execution: str) -> None:
        self.backend.finish(execution)


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    async def scene(self) -> AsyncIterator[Scene]:
        async with MemoryBackend() as backend:
            yield MemoryScene(backend)
