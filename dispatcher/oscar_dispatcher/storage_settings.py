"""Which settings a job gets for a storage provider.

In:  a provider's id, the service, the platform's own providers. Out: the settings, secrets in them as references.
Not here: revealing secrets (jobs.py), what the settings mean (oscar_supervisor/storage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oscar_events.service import Service


def settings_of(provider: str, service: Service, site: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the settings of a provider like `minio.default`, with its `type`; None if nobody defines it.

    The platform's own definition wins, as in OSCAR, which fills `minio.default` in for everybody.
    """
    if provider in site:
        return dict(site[provider])
    kind, _, identity = provider.partition(".")
    settings = service.storage_providers.get(kind, {}).get(identity)
    return None if settings is None else {"type": kind, **{k: v for k, v in settings.items() if v is not None}}
