"""The reconciler's view of the ledger.

In:  an open ledger. Out: the active services with the times of their inputs, the executions it knows.
Not here: what is made of them (reconcile.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from oscar_events.ledger import claims, services
from oscar_events.ledger.port import Ledger
from oscar_events.matching import ActiveService
from oscar_ingest.reconcile import Reconciled


class LedgerCatalogue:
    """The `Catalogue` of a platform that runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def reconciled_inputs(self) -> Sequence[Reconciled]:
        stored = await self._ledger.read(services.active)
        return [Reconciled(ActiveService(one.uid, one.tenant, one.service), one.since) for one in stored]

    async def known(self, execution_ids: Collection[str]) -> set[str]:
        return await self._ledger.read(lambda connection: claims.known(connection, execution_ids))
