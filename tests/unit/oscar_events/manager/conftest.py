"""A control on a fresh directory, nothing running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oscar_events.datadir import DataDirectory
from oscar_events.ledger.store import Ledger
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import laptop_control


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path)
    directory.create()
    return directory


@pytest.fixture
async def ledger(directory: DataDirectory) -> AsyncIterator[Ledger]:
    async with Ledger(directory.ledger_db) as ledger:
        yield ledger


@pytest.fixture
def woken() -> list[str]:
    """What stands in for the scheduler: one entry per time it was woken."""
    return []


@pytest.fixture
def control(ledger: Ledger, directory: DataDirectory, woken: list[str]) -> Control:
    async def log_of_running(execution: str, attempt: int) -> bytes:
        return b"so far"

    return laptop_control(ledger, directory, lambda: woken.append("woken"), log_of_running)


@pytest.fixture
def blur() -> dict[str, Any]:
    return {
        "name": "blur",
        "image": "busybox",
        "script": "cp $INPUT_FILE_PATH $TMP_OUTPUT_DIR",
        "input": [{"storage_provider": "local", "path": "pics/in"}],
        "output": [{"storage_provider": "local", "path": "pics/out"}],
    }
