"""The sources of type minio_listen that config.yaml names.

In:  the configuration, an open ledger. Out: a source for each.
Not here: listening (minio_listen.py), which is imported only if there is one: its library is an extra.
"""

from __future__ import annotations

from abc import abstractmethod

from oscar_events.config import PlatformConfig
from oscar_events.errors import ConfigurationError
from oscar_events.ledger.port import Ledger
from oscar_events.matching import Aliases
from oscar_ingest.listened import ListenedBuckets
from oscar_ingest.sources.port import Source


class Listener(Source):
    """A source that asks a store to tell. What it cannot listen to at the moment is no error: others go on."""

    @property
    @abstractmethod
    def trouble(self) -> str:
        """Why some buckets are not listened to at the moment; empty if all are."""


def listeners(config: PlatformConfig, ledger: Ledger, aliases: Aliases) -> list[Listener]:
    """Return the sources. Raises ConfigurationError if there is one and the library for it is not installed."""
    named = {name: source.route for name, source in config.sources.items() if source.listens}
    if not named:
        return []
    try:
        from oscar_ingest.sources.minio_listen import MinioListen
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the source {', '.join(named)} needs {error.name}, which is not installed; run: pip install "
            '"oscar-events[minio]"'
        ) from error
    return [
        MinioListen(route, config.provider(route.provider) or {}, ListenedBuckets(ledger, route.provider, aliases))
        for route in named.values()
    ]
