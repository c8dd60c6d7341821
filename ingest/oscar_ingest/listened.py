"""What a source that listens at a provider has to hear, followed as services are applied and deleted.

In:  an open ledger, a provider. Out: per bucket, what has to happen in it for a service to start.
Not here: listening (sources/minio_listen.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from oscar_events.event import Action
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import Catalogue
from oscar_events.matching import Aliases, input_folders


class ListenedBuckets:
    """The buckets at one provider that services take inputs from. Asked again, it costs one row while none changed."""

    def __init__(self, ledger: Ledger, provider: str, aliases: Aliases) -> None:
        self._ledger, self._provider, self._aliases = ledger, provider, aliases
        self._catalogue = Catalogue(aliases)

    async def __call__(self) -> Mapping[str, frozenset[Action]]:
        """Return bucket -> what has to happen there. Raises LedgerError while the ledger is away."""
        await self._ledger.read(self._catalogue.refresh)
        services = (stored.service for stored in self._catalogue.services.values())
        return {
            bucket: frozenset(action for folder in folders for action in folder.actions)
            for bucket, folders in input_folders(services, self._provider, self._aliases).items()
        }
