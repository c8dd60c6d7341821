"""Applying services: all that has to be true, and there, before the ledger has them.

In:  service documents as they were written. Out: services in the ledger, secrets kept beside it, places made.
Not here: reading files (fdl.py), what else may be asked of services (control.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection

from oscar_events.event import DEFAULT_TENANT
from oscar_events.fdl import read_service
from oscar_events.ledger import services
from oscar_events.ledger.port import Ledger
from oscar_events.manager.buckets import Buckets
from oscar_events.secrets import SecretStore, concealed, speaks_of_secrets
from oscar_events.service import Service, ignored_here


class Applying:
    """note: what everybody must know about how runs are run here, empty if nothing."""

    def __init__(self, ledger: Ledger, buckets: Buckets, secrets: SecretStore, note: str) -> None:
        self._ledger, self._buckets, self._secrets, self._note = ledger, buckets, secrets, note
        # A value is kept before the ledger refers to it: in between it must not be taken for one nobody needs.
        self._secrets_change = asyncio.Lock()

    async def apply(
        self, documents: Sequence[Mapping[str, Any]], remarks: Mapping[str, Sequence[str]]
    ) -> list[dict[str, Any]]:
        """See `Control.apply`."""
        loaded = [read_service(document) for document in documents]
        warnings = [[*one.warnings, *self._buckets.check(one.service), *self.notes(one.service)] for one in loaded]
        kept = [[*remarks.get(one.service.name, ()), *one.warnings] for one in loaded]
        # Before the transaction: an object that arrives from now on will be found.
        since = await self._buckets.time([one.service for one in loaded])
        for one in loaded:
            self._buckets.make(one.service)
        async with self._changing_secrets(any(speaks_of_secrets(one.service.document()) for one in loaded)):
            wanted = await self._concealed([one.service for one in loaded])

            def unit(connection: Connection) -> list[services.Applied]:
                aliases = self._buckets.aliases
                return [
                    services.apply(connection, DEFAULT_TENANT, service, since, aliases, remarked)
                    for service, remarked in zip(wanted, kept, strict=True)
                ]

            applied = await self._ledger.write(unit)
        looked = await self._buckets.look([one.service for one in loaded])
        return [
            {
                "name": service.name,
                "uid": done.uid,
                "revision": done.revision,
                "change": done.change,
                "warnings": [*told, *found],
            }
            for service, done, told, found in zip(wanted, applied, warnings, looked, strict=True)
        ]

    async def forget_secrets(self) -> None:
        """Remove the secrets of services that were deleted and run no more."""
        async with self._changing_secrets(self._secrets.exists()):
            needed = await self._ledger.read(services.secrets_in_use)
            await asyncio.to_thread(self._secrets.keep_only, needed)

    @asynccontextmanager
    async def _changing_secrets(self, is_any: bool) -> AsyncIterator[None]:
        """Keep others from changing secrets meanwhile: tasks of this process, and commands that run beside it."""
        async with self._secrets_change:
            with await asyncio.to_thread(self._secrets.hold) if is_any else nullcontext():
                yield

    def notes(self, service: Service) -> list[str]:
        """Return what is not done here of what the service asks for, and what everybody must know."""
        return [*ignored_here(service), *([self._note] if self._note else [])]

    async def _concealed(self, wanted: Sequence[Service]) -> list[Service]:
        """Return the services with references for their secrets, whose values are durable by then."""
        if not any(speaks_of_secrets(service.document()) for service in wanted):
            return list(wanted)
        stored = await self._ledger.read(services.active)
        before = {one.service.name: one.service for one in stored if one.tenant == DEFAULT_TENANT}
        return [await asyncio.to_thread(self._conceal, service, before.get(service.name)) for service in wanted]

    def _conceal(self, service: Service, before: Service | None) -> Service:
        stored = {} if before is None else before.document()
        return Service.from_document(concealed(service.document(), stored, self._secrets.put))
