"""What the chaos tests share: a scene whose processes end with the test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.scene import Scene

# They look at processes through /proc.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py", "cluster/test_*.py"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A directory without a platform yet."""
    scene = Scene(tmp_path)
    yield scene
    if scene.up.process is not None:
        scene.up.stop(signal.SIGKILL)
