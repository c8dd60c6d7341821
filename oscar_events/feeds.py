"""What feeds a platform beside the webhook: the sources that run by themselves, and the listings.

In:  the configuration, open bus and ledger. Out: sources and listers, for the `Ingest` of a laptop or a cluster.
Not here: each of them (oscar_ingest), the webhook, which belongs to an HTTP front (standalone.py, cluster/ingest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oscar_events.bus.port import Bus
from oscar_events.config import PlatformConfig
from oscar_events.errors import ConfigurationError
from oscar_events.ledger.port import Ledger
from oscar_events.log import logger
from oscar_events.matching import Aliases
from oscar_ingest.listings.configured import configured_listers
from oscar_ingest.listings.port import AnyLister
from oscar_ingest.sources.kafka import KafkaSource, kafka_sources
from oscar_ingest.sources.listeners import Listener, listeners
from oscar_ingest.sources.port import Source

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Feeds:
    """unlisted: why stores are not listed although they could be; empty if all are."""

    topics: Sequence[KafkaSource]
    listeners: Sequence[Listener]
    listers: Sequence[AnyLister]
    unlisted: str

    @property
    def sources(self) -> list[Source]:
        """All sources that run by themselves."""
        return [*self.topics, *self.listeners]

    def troubles(self) -> dict[str, str]:
        """Return what somebody has to mend, by part."""
        topics = "; ".join(source.trouble for source in self.topics if source.trouble)
        deaf = "; ".join(source.trouble for source in self.listeners if source.trouble)
        return {
            part: text for part, text in (("topics", topics), ("listeners", deaf), ("listings", self.unlisted)) if text
        }


def feeds(bus: Bus, ledger: Ledger, config: PlatformConfig, aliases: Aliases, *, listed: bool) -> Feeds:
    """Return what the configuration asks for. listed: whether stores have to be listed.

    Without the library for listings, those who need not do without: a laptop's platform works with a store that
    notifies it, and says what it lacks. Raises ConfigurationError for any other library that is not installed.
    """
    listers: list[AnyLister] = []
    unlisted = ""
    try:
        listers = configured_listers(config, config.settings.reconcile.min_age)
    except ConfigurationError as error:
        if listed:
            raise
        unlisted = str(error)
        _log.warning("stores are not listed: what is not told of is not found", error=unlisted)
    return Feeds(kafka_sources(config, bus), listeners(config, ledger, aliases), listers, unlisted)
