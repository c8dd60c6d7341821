"""Sources that speak of a storage which nobody defines: allowed, as a name may be all that is needed; mostly a slip.

In:  the configuration, the services. Out: those sources, each with the name that may be meant; lines in the log.
Not here: services' own storage, which `apply` refuses if it is not defined (buckets.py, cluster.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from oscar_events.config import PlatformConfig
from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.log import logger
from oscar_events.matching import Aliases
from oscar_events.service import Service

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Undefined:
    """A source, the provider it names, and the one that may be meant: empty if none is like it."""

    source: str
    provider: str
    meant: str


def undefined_providers(config: PlatformConfig, services: Iterable[Service], aliases: Aliases) -> Iterator[Undefined]:
    """Yield the sources whose provider neither the configuration nor a service defines."""
    known = {LOCAL_PROVIDER, *aliases, *config.providers()}
    for service in services:
        known |= {f"{kind}.{name}" for kind, named in service.storage_providers.items() for name in named}
    for name, source in config.sources.items():
        provider = source.route.provider
        if provider not in known:
            yield Undefined(name, provider, next(iter(get_close_matches(provider, sorted(known), 1)), ""))


def warn_of_undefined_providers(config: PlatformConfig, aliases: Aliases) -> None:
    """Say in the log which sources name a provider that the configuration does not define."""
    for one in undefined_providers(config, (), aliases):
        _log.warning(
            "no provider of this name is in config.yaml; only a service that defines it itself can be started",
            source=one.source,
            provider=one.provider,
            meant=one.meant or None,
        )
