"""The listings of the stores that config.yaml defines.

In:  the configuration. Out: a lister per store.
Not here: listing (s3.py, folder.py).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from oscar_events.config import PlatformConfig
from oscar_events.errors import ConfigurationError
from oscar_ingest.listings.folder import FolderLister
from oscar_ingest.listings.port import AnyLister


def listers(config: PlatformConfig, buckets: Path | None = None) -> list[AnyLister]:
    """Return the listers of all stores there are. buckets: the directory of a laptop's own. Raises as below."""
    folders: list[AnyLister] = [] if buckets is None else [FolderLister(buckets)]
    return folders + configured_listers(config, config.settings.reconcile.min_age)


def configured_listers(config: PlatformConfig, min_age: timedelta) -> list[AnyLister]:
    """Return a lister for each store with keys of its own. min_age: what is younger is left to its notification.

    One without (`s3`, whose runs then use the machine's identity) is not listed: what this process may read by chance
    is not what its services may. Raises ConfigurationError if there is one and the library for it is not installed.
    """
    settings = {provider: config.provider(provider) or {} for provider in config.providers()}
    with_keys = {provider: one for provider, one in settings.items() if one.get("access_key")}
    if not with_keys:
        return []
    try:
        from oscar_ingest.listings.s3 import S3Lister  # its library is an extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"listing {', '.join(sorted(with_keys))} needs {error.name}, which is not installed; run: pip install "
            '"oscar-events[minio]"'
        ) from error
    return [S3Lister(provider, one, min_age, config.settings.reconcile.every) for provider, one in with_keys.items()]
