"""A control on a fresh directory, nothing running."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from oscar_events.bus.memory import MemoryBus
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory, Up
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.app import front
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import laptop_control


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path)
    directory.create()
    return directory


@pytest.fixture
async def ledger(directory: DataDirectory) -> AsyncIterator[Ledger]:
    async with SqliteLedger(directory.ledger_db) as ledger:
        yield ledger


@pytest.fixture
def woken() -> list[str]:
    """What stands in for the scheduler: one entry per time it was woken."""
    return []


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(partitions=2)


@pytest.fixture
def control(ledger: Ledger, bus: MemoryBus, directory: DataDirectory, woken: list[str]) -> Control:
    async def log_of_running(execution: str, attempt: int) -> bytes:
        return b"so far"

    return laptop_control(ledger, bus, directory, PlatformConfig(), lambda: woken.append("woken"), log_of_running)


@pytest.fixture
async def up(control: Control) -> AsyncIterator[Up]:
    """Where the control's front listens."""
    server = uvicorn.Server(uvicorn.Config(front(control, "token", dict), lifespan="off", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            yield Up(0, listener.getsockname()[1], "token")
            server.should_exit = True


@pytest.fixture
def blur() -> dict[str, Any]:
    return {
        "name": "blur",
        "image": "busybox",
        "script": "cp $INPUT_FILE_PATH $TMP_OUTPUT_DIR",
        "input": [{"storage_provider": "local", "path": "pics/in"}],
        "output": [{"storage_provider": "local", "path": "pics/out"}],
    }
