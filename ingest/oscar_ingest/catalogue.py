"""The reconciler's view of the ledger.

In:  an open ledger. Out: the active services with the times of their inputs, the executions and contents it knows, how
far intake has read.
Not here: what is made of them (reconcile.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from oscar_events.ledger import claims, services
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import stored_positions
from oscar_events.matching import ActiveService
from oscar_ingest.plan import Reconciled
from oscar_ingest.reconcile import Content


class LedgerCatalogue:
    """The `Catalogue` of a platform that runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def reconciled_inputs(self) -> Sequence[Reconciled]:
        stored = await self._ledger.read(services.active)
        return [Reconciled(ActiveService(one.uid, one.tenant, one.service), one.since) for one in stored]

    async def known(self, execution_ids: Collection[str]) -> set[str]:
        return await self._ledger.read(lambda connection: claims.known(connection, execution_ids))

    async def known_contents(self, contents: Collection[Content]) -> Mapping[Content, Collection[str]]:
        of_buckets: dict[tuple[str, str], list[Content]] = {}
        for content in contents:
            of_buckets.setdefault((content.provider, content.bucket), []).append(content)

        found: dict[Content, Collection[str]] = {}
        for (provider, bucket), some in of_buckets.items():
            asked = [(one.key, one.etag) for one in some]
            unit = partial(claims.claimed_with_etags, provider=provider, bucket=bucket, contents=asked)
            uids = await self._ledger.read(unit)
            found |= {one: uids[one.key, one.etag] for one in some}
        return found

    async def positions(self, topic_id: str) -> Mapping[int, int]:
        return await self._ledger.read(lambda connection: stored_positions(connection, topic_id))
