"""Which adapter serves which type of storage provider.

In:  settings of a provider. Out: its storage; the adapter is imported with its first use.
Not here: the adapters, one module beside this each.
"""

from __future__ import annotations

from importlib import import_module

from oscar_events.errors import ConfigurationError
from oscar_supervisor.storage.port import Storage, StorageFactory

_ADAPTERS = {"local": "oscar_supervisor.storage.local:LocalStorage"}


def open_storage(provider: str, settings: dict[str, str] | None, execution: str) -> Storage:
    """Return the storage of a provider for one execution. Raises ConfigurationError naming the provider."""
    if settings is None:
        raise ConfigurationError(f"the job has no settings for the storage provider {provider}")
    if (kind := settings.get("type", "")) not in _ADAPTERS:
        known = ", ".join(sorted(_ADAPTERS))
        raise ConfigurationError(f"the storage provider {provider} has the type '{kind}'; known are {known}")
    module, _, name = _ADAPTERS[kind].partition(":")
    factory: StorageFactory = getattr(import_module(module), name)
    return factory(settings, execution)
