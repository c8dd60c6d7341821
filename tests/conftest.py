"""What holds for every test: a clean environment, no task left behind, a seed that can be used again.

In:  pytest. Out: fixtures that work by themselves.
Not here: anything a test asks for by name.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

# No deadline per example: the machine's other work is no fault of the product.
settings.register_profile("oscar-events", deadline=None)
settings.load_profile("oscar-events")

pytest_plugins = ["tests.testbed.fixtures", "tests.testbed.ledgers"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.getrandbits(32))
    # A shell has its background jobs ignore it, and so would every command that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    return f"to repeat: --hypothesis-seed={config.option.hypothesis_seed}"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OSCAR_EVENTS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
async def _no_task_survives() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
