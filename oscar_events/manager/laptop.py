"""The control of a laptop's platform, whether it runs or only its files are there.

In:  its data directory, open ledger and bus, configuration. Out: a `Control`.
Not here: starting the platform (standalone.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from oscar_events.bus.port import Bus
from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import LOCAL_PROVIDER, DataDirectory
from oscar_events.ledger.port import Ledger
from oscar_events.manager.backfill import Listings
from oscar_events.manager.buckets import LaptopBuckets
from oscar_events.manager.control import Control, nobody_runs
from oscar_events.manager.local_objects import LocalObjects
from oscar_events.matching import Aliases
from oscar_events.secrets import SecretStore

# OSCAR's own default provider: service files written for a cluster run here as they are.
_ALIASES: Aliases = {"minio.default": LOCAL_PROVIDER}

WITHOUT_IMAGE = "the process backend runs the script without its image, on this machine itself"


def laptop_aliases(config: PlatformConfig) -> Aliases:
    """Return the other names of the local store: those that config.yaml gives to no store of its own."""
    defined = config.providers()
    return {alias: provider for alias, provider in _ALIASES.items() if alias not in defined}


def laptop_control(
    ledger: Ledger,
    bus: Bus,
    directory: DataDirectory,
    config: PlatformConfig,
    wake: Callable[[], None] = lambda: None,
    log_of_running: Callable[[str, int], Awaitable[bytes | None]] = nobody_runs,
    *,
    is_running: bool = False,
    listings: Listings = tuple,
) -> Control:
    """Return the control; wake, log_of_running, is_running and listings as there."""
    aliases = laptop_aliases(config)
    buckets = LaptopBuckets(directory.buckets, directory.storage_time, aliases, config.providers())
    return Control(
        ledger,
        bus,
        buckets,
        SecretStore(directory.secrets),
        lambda: load_config(directory),
        LocalObjects(directory.buckets),
        WITHOUT_IMAGE,
        wake,
        log_of_running,
        is_running=is_running,
        listings=listings,
    )
