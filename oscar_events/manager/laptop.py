"""The control of a laptop's platform, whether it runs or only its files are there.

In:  its data directory and open ledger. Out: a `Control`.
Not here: starting the platform (standalone.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from oscar_events.datadir import LOCAL_PROVIDER, DataDirectory
from oscar_events.ledger.store import Ledger
from oscar_events.manager.buckets import LocalBuckets
from oscar_events.manager.control import Control, nobody_runs
from oscar_events.matching import Aliases

# OSCAR's own default provider: service files written for a cluster run here as they are.
LAPTOP_ALIASES: Aliases = {"minio.default": LOCAL_PROVIDER}

WITHOUT_IMAGE = "the process backend runs the script without its image, on this machine itself"


def laptop_control(
    ledger: Ledger,
    directory: DataDirectory,
    wake: Callable[[], None] = lambda: None,
    log_of_running: Callable[[str, int], Awaitable[bytes | None]] = nobody_runs,
) -> Control:
    """Return the control; wake and log_of_running as there."""
    buckets = LocalBuckets(directory.buckets, directory.storage_time, LAPTOP_ALIASES)
    return Control(ledger, buckets, WITHOUT_IMAGE, wake, log_of_running)
