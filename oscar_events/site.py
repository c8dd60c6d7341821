"""What all jobs of a platform share: its name, its storage, where secrets are looked up.

In:  an open ledger, config.yaml, the data directory. Out: the dispatcher's `Site`.
Not here: jobs (oscar_dispatcher/jobs.py), storage of single services (their own files).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oscar_dispatcher.jobs import Site
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.ledger.port import Ledger
from oscar_events.matching import Aliases
from oscar_events.secrets import SecretStore, is_secret, reference


def site(
    ledger: Ledger,
    directory: DataDirectory,
    config: PlatformConfig,
    beside: Mapping[str, Mapping[str, Any]],
    aliases: Aliases,
) -> Site:
    """Return the site. beside: storage that config.yaml does not define; aliases: other names of providers."""
    storage: dict[str, Mapping[str, Any]] = dict(beside)
    # The platform's own credentials stay in memory; jobs name them as they name those of services.
    own: dict[str, str] = {}
    for provider in config.providers():
        settings = config.provider(provider) or {}
        named = {f"{provider}.{name}": value for name, value in settings.items() if is_secret(name, value)}
        own |= named
        storage[provider] = settings | {name.removeprefix(f"{provider}."): reference(name) for name in named}
    kept = SecretStore(directory.secrets)
    return Site(
        ledger.instance,
        storage,
        aliases,
        reveal=lambda identity: own[identity] if identity in own else kept.get(identity),
    )
