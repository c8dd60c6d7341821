"""Which adapter serves which type of storage provider.

In:  settings of a provider. Out: its storage; the adapter is imported with its first use.
Not here: the adapters, one module beside this each.
"""

from __future__ import annotations

from importlib import import_module

from oscar_events.errors import ConfigurationError
from oscar_supervisor.storage.port import Storage, StorageFactory

_S3 = "oscar_supervisor.storage.s3:S3Storage"
_ADAPTERS = {"local": "oscar_supervisor.storage.local:LocalStorage", "minio": _S3, "s3": _S3}


def open_storage(provider: str, settings: dict[str, str] | None, execution: str, hops: int) -> Storage:
    """Return the storage of a provider for one execution. Raises ConfigurationError naming the provider.

    hops: how many executions led to the results, this one counted; stores that keep metadata keep it with them.
    """
    if settings is None:
        raise ConfigurationError(f"the job has no settings for the storage provider {provider}")
    if (kind := settings.get("type", "")) not in _ADAPTERS:
        known = ", ".join(sorted(_ADAPTERS))
        raise ConfigurationError(f"the storage provider {provider} has the type '{kind}'; known are {known}")
    module, _, name = _ADAPTERS[kind].partition(":")
    factory: StorageFactory = getattr(import_module(module), name)
    try:
        return factory(settings, execution, hops)
    except ConfigurationError as error:
        raise ConfigurationError(f"the storage provider {provider}: {error}") from error
