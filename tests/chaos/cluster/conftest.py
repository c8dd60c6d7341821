"""The servers that a test of a cluster kills, its own from the start."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.cluster.servers import Servers, running_servers

StartServers = Callable[[int], contextlib.AbstractContextManager[Servers]]


@pytest.fixture(autouse=True)
def _silent_client(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what the test's own clients say of brokers that are down out of a failure's report."""
    caplog.set_level(logging.CRITICAL, "aiokafka")


@pytest.fixture
def start_servers(kafka_here: Path, postgres_here: Path, minio_here: Path, tmp_path: Path) -> StartServers:
    """Return what starts servers of the test's own: seed of what happens to notifications -> servers."""
    return partial(running_servers, tmp_path)
