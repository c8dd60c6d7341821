"""The settings with which a run reaches a storage: credentials from mounted files first, then from the service.

In:  a provider like `minio.cluster2`, what the service says of it, the root of the paths (`/`).
Out: settings for storage/table.py, text throughout.
Not here: what the settings mean, reading the mounted files (storage/s3_settings.py).

Changed on purpose: OSCAR's supervisor reads mounted files for `minio.default` only, takes their last newline for a part
of the key, and runs the script on the event itself if there are no credentials. Here every provider may have mounted
ones, and none is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oscar_events.errors import ConfigurationError
from oscar_events.paths import printable
from oscar_supervisor.service_facts import as_text
from oscar_supervisor.storage.s3_settings import credentials_from

MOUNTED = "var/run/secrets/providers"
_KEYS = ("access_key", "secret_key")
_WITH_KEYS = frozenset({"minio", "s3"})
# Without keys of its own it is AWS's ambient chain, as in OSCAR (reference/supervisor.md §4).
_AMBIENT = "s3.default"
# What OSCAR's API shows in place of a key, and stores in the service too.
_PLACEHOLDER = "hidden"


def settings_for(provider: str, storage: Mapping[str, Mapping[str, Any]], root: Path) -> dict[str, str]:
    """Return the settings of a provider. Raises ConfigurationError that says where its credentials would be found."""
    if "/" in provider or not provider.isprintable():  # an event may name it, and it names a directory
        shown = printable(provider.encode(errors="backslashreplace"))
        raise ConfigurationError(f"'{shown}' is no name of a storage provider")
    kind = provider.partition(".")[0]
    written = storage.get(provider)
    settings = {name: as_text(value) for name, value in (written or {}).items() if value is not None}
    settings["type"] = kind
    if kind in _WITH_KEYS:
        return _with_keys(provider, settings, root / MOUNTED / provider)
    if written is None:
        name = provider.partition(".")[2]
        how = f": `storage_providers: {{local: {{{name}: {{root: DIR}}}}}}`, where DIR holds the buckets"
        raise ConfigurationError(
            f"the service has no storage provider {provider}; add it to its storage_providers"
            + (how if kind == "local" else "")
        )
    return settings


def _with_keys(provider: str, settings: dict[str, str], directory: Path) -> dict[str, str]:
    found = {name: key for name in _KEYS if (key := settings.pop(name, "")) not in ("", _PLACEHOLDER)}
    found |= credentials_from(directory)
    if provider == _AMBIENT and not found:
        return {**settings, "credentials": "ambient"}
    if missing := [name for name in _KEYS if not found.get(name)]:
        raise ConfigurationError(
            f"no {' and no '.join(missing)} for the storage provider {provider}: "
            f"mount accessKey and secretKey in {directory}, or put them into the service's storage_providers"
        )
    return settings | found
