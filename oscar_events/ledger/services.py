"""Services in the ledger: applied, updated, deleted; and the index that intake matches with.

In:  a service as its file says it. Out: its uid and revision; the services that events may start.
Not here: reading files (fdl.py), the matching itself (matching/).
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from oscar_events.errors import NotFoundError, ServiceError
from oscar_events.ledger.port import now
from oscar_events.ledger.tables import executions, inputs, instance, is_live, revisions, services
from oscar_events.matching import ActiveService, Aliases, MatchIndex, find_loop
from oscar_events.secrets import places, referred
from oscar_events.service import Service

_generation = select(instance.c.generation)
# Whoever changes services holds them alone, whoever claims for them does so with others (claims.py). A lock on the
# generation's row would not do: who claims goes past those who wait for such a lock, and with four dispatchers that
# catch up an apply never had it. This lock is given in the order of asking. Its number: "services" in ASCII.
_SERVICES_LOCK = 0x7365727669636573
_hold_alone = select(func.pg_advisory_xact_lock(_SERVICES_LOCK))
_hold_with_others = select(func.pg_advisory_xact_lock_shared(_SERVICES_LOCK))


@dataclass(frozen=True, slots=True)
class StoredService:
    """A service at its present revision.

    since: one time per input, before which the reconciler does not look. remarks: what its author was told of the file.
    """

    uid: str
    tenant: str
    revision: int
    service: Service
    since: tuple[datetime, ...]
    created_at: int
    updated_at: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did: `created`, `updated` or `unchanged`."""

    uid: str
    revision: int
    change: str


def apply(
    connection: Connection,
    tenant: str,
    service: Service,
    since: datetime,
    aliases: Aliases | None = None,
    remarks: Sequence[str] = (),
) -> Applied:
    """Create the service, or give it a new revision; the generation changes with it, so that intake sees it at once.

    since: the storage's clock, read before this transaction. remarks: kept with the revision, to be shown. Raises
    ServiceError if a result of the service would start it again, itself or through others.
    """
    _hold(connection, _hold_alone)
    others = {stored.service.name: stored for stored in active(connection) if stored.tenant == tenant}
    known = others.pop(service.name, None)
    if loop := find_loop([service, *(stored.service for stored in others.values())], aliases):
        raise ServiceError(
            f"service {service.name}: output",
            f"a result would start {' -> '.join(loop)}, and so on for ever",
            "write results to another bucket or folder, or tell them from inputs by prefix or suffix",
        )
    time = now(connection)
    if known is None:
        uid, revision, change = str(uuid.uuid4()), 1, "created"
        row = {"uid": uid, "tenant": tenant, "name": service.name, "created_at": time}
        connection.execute(insert(services).values(**row, revision=revision, updated_at=time))
    elif known.service == service:
        of_it = (revisions.c.service_uid == known.uid) & (revisions.c.revision == known.revision)
        connection.execute(update(revisions).where(of_it).values(remarks=json.dumps(remarks)))
        return Applied(known.uid, known.revision, "unchanged")
    else:
        uid, revision, change = known.uid, known.revision + 1, "updated"
        connection.execute(update(services).where(services.c.uid == uid).values(revision=revision, updated_at=time))
    document = json.dumps(service.document())
    row = {"service_uid": uid, "revision": revision, "document": document, "created_at": time}
    connection.execute(insert(revisions).values(**row, remarks=json.dumps(remarks)))
    _keep_since(connection, uid, service, int(since.timestamp()) * 1000)
    _renew_generation(connection)
    return Applied(uid, revision, change)


def end(connection: Connection, tenant: str, name: str) -> str:
    """End the service's uid: from the commit on, no event starts it. Return the uid. Raises NotFoundError."""
    _hold(connection, _hold_alone)
    uid = uid_of(connection, tenant, name)
    connection.execute(update(services).where(services.c.uid == uid).values(deleted_at=now(connection)))
    _renew_generation(connection)
    return uid


def uid_of(connection: Connection, tenant: str, name: str) -> str:
    """Return the uid of the active service of that name. Raises NotFoundError."""
    wanted = (services.c.tenant == tenant, services.c.name == name, services.c.deleted_at.is_(None))
    uid = connection.scalar(select(services.c.uid).where(*wanted))
    if uid is None:
        raise NotFoundError(f"there is no service {name!r}")
    return str(uid)


def active(connection: Connection) -> list[StoredService]:
    """Return the services that events may start, by name."""
    times: dict[tuple[str, str, str], int] = {
        (row.service_uid, row.provider, row.path): row.since_at for row in connection.execute(select(inputs))
    }
    query = (
        select(services, revisions.c.document, revisions.c.remarks)
        .join(revisions, (revisions.c.service_uid == services.c.uid) & (revisions.c.revision == services.c.revision))
        .where(services.c.deleted_at.is_(None))
        .order_by(services.c.name)
    )
    return [_stored(row, times) for row in connection.execute(query)]


def revision(connection: Connection, uid: str, number: int) -> Service:
    """Return the service as it was at that revision."""
    query = select(revisions.c.document).where(revisions.c.service_uid == uid, revisions.c.revision == number)
    return _parsed(connection.execute(query).scalar_one())


def secrets_in_use(connection: Connection) -> frozenset[str]:
    """Return the ids of all secrets that a run may still need: of services not deleted, or with live executions."""
    live = select(executions.c.service_uid).where(is_live)
    query = (
        select(revisions.c.document)
        .join(services, services.c.uid == revisions.c.service_uid)
        .where(services.c.deleted_at.is_(None) | services.c.uid.in_(live))
    )
    found = (referred(value) for text in connection.scalars(query) for _, value in places(json.loads(text)))
    return frozenset(identity for identity in found if identity is not None)


class Catalogue:
    """The active services as an index, reloaded when their generation has changed.

    Used by one unit of work at a time. aliases: other names of providers (matching/).
    """

    def __init__(self, aliases: Aliases | None = None) -> None:
        self._aliases = aliases
        self._generation = -1
        self.index = MatchIndex([])
        self.services: dict[str, StoredService] = {}
        self.named: dict[tuple[str, str], StoredService] = {}  # by tenant and name

    def refresh(self, connection: Connection, *, hold: bool = False) -> None:
        """Bring the index to the services of this transaction. hold: nobody may change them before it ends."""
        if hold:
            _hold(connection, _hold_with_others)
        present = connection.execute(_generation).scalar_one()
        if present == self._generation:
            return
        stored = active(connection)
        self.index = MatchIndex([ActiveService(one.uid, one.tenant, one.service) for one in stored], self._aliases)
        self.services = {one.uid: one for one in stored}
        self.named = {(one.tenant, one.service.name): one for one in stored}
        self._generation = present


# A revision never changes, and a change of one service has all of them read again: parsing was 80 % of that (measured
# at 1,000 services). Ten thousand of the usual 2 KiB are 20 MB of text; the services are in the catalogues anyway.
@lru_cache(maxsize=10_000)
def _parsed(document: str) -> Service:
    return Service.from_document(json.loads(document))


def _stored(row: Row[Any], times: dict[tuple[str, str, str], int]) -> StoredService:
    service = _parsed(row.document)
    since = tuple(
        datetime.fromtimestamp(times[row.uid, place.storage_provider, place.path] / 1000, UTC)
        for place in service.input
    )
    remarks = tuple(json.loads(row.remarks or "[]"))
    return StoredService(row.uid, row.tenant, row.revision, service, since, row.created_at, row.updated_at, remarks)


def _keep_since(connection: Connection, uid: str, service: Service, since_ms: int) -> None:
    """Give each input its time: the one it had if the provider and path were the service's before."""
    rows = connection.execute(select(inputs).where(inputs.c.service_uid == uid))
    before = {(row.provider, row.path): row.since_at for row in rows}
    connection.execute(delete(inputs).where(inputs.c.service_uid == uid))
    places = sorted({(place.storage_provider, place.path) for place in service.input})
    if places:
        connection.execute(
            insert(inputs),
            [
                {
                    "service_uid": uid,
                    "provider": provider,
                    "path": path,
                    "since_at": before.get((provider, path), since_ms),
                }
                for provider, path in places
            ],
        )


def _hold(connection: Connection, lock: Select[Any]) -> None:
    """Keep others from changing services, or from claiming for them too, until the transaction ends."""
    if connection.dialect.name == "postgresql":  # on SQLite units run one after the other
        connection.execute(lock)


def _renew_generation(connection: Connection) -> None:
    # By chance, not counted up: a catalogue may have read a generation whose transaction was then undone, and the next
    # one must not look the same to it.
    connection.execute(update(instance).values(generation=secrets.randbits(62)))
