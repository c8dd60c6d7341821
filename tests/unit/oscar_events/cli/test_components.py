"""A component that is refused at its start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_dispatcher_that_is_refused_leaves_no_directory_behind(tmp_path: Path) -> None:
    # A process of its own: a component takes over the log of the one that it runs in.
    done = subprocess.run(
        [sys.executable, "-c", "from oscar_events.cli.app import main; main()", "dispatcher"],
        env={
            "PATH": os.defpath,
            "OSCAR_EVENTS_DATA": str(tmp_path / "none"),
            "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "OSCAR_EVENTS_LEDGER__URL_FILE": str(tmp_path / "nowhere"),
            "OSCAR_EVENTS_DISPATCHER__LISTEN": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "nowhere cannot be read" in done.stderr
    assert not (tmp_path / "none").exists()
