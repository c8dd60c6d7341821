"""The claim: events become executions, once each per service, in the transaction that stores how far intake read.

In:  a batch of events with their bytes, and the bus positions behind it. Out: the executions that are new.
Not here: decoding and quarantine (oscar_dispatcher/intake.py), what an event may start (matching/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select

from oscar_events.codec import subject
from oscar_events.event import StorageEvent
from oscar_events.execution import State
from oscar_events.identity import execution_id
from oscar_events.ledger.moves import enqueue
from oscar_events.ledger.port import now
from oscar_events.ledger.positions import Position, require_known, store_positions
from oscar_events.ledger.rows import insert_unless_there, upsert
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import PURGED, events, executions
from oscar_events.matching import Match

# SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535; an IN list of this size also stays cheap to parse.
_IDS_PER_QUERY = 500

# The input of an execution whose event speaks of no object: its route named the service.
NO_INPUT = -1


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event and the bytes it was on the bus."""

    event: StorageEvent
    envelope: bytes


# By execution id: the event, and the service that wants it.
Wanted = dict[str, tuple[Sighting, Match]]


@dataclass(frozen=True, slots=True)
class Again:
    """What a replay claims: for whom, and under which replay's id if its executions are to be new ones."""

    service_uid: str
    replay: str | None = None

    def execution_id(self, event: StorageEvent) -> str:
        """Return the id of the execution for this event: the one it always had, or the replay's own."""
        names = () if self.replay is None else ("replay", self.replay)
        return execution_id(event.tenant, self.service_uid, event.id, *names)


def claim(
    connection: Connection, catalogue: Catalogue, sightings: Sequence[Sighting], read: Iterable[Position] = ()
) -> set[str]:
    """Insert an execution for each event and service it starts, unless there is one; return the services with new ones.

    Events are matched with the services of this transaction, and nobody changes those before it ends. Rows are inserted
    in the order of their ids, so that two claimers cannot wait for each other in a circle. Raises LedgerForgotError;
    then nothing is claimed.
    """
    read = list(read)
    require_known(connection, read)
    catalogue.refresh(connection, hold=True)
    wanted = {
        execution_id(sighting.event.tenant, match.service_uid, sighting.event.id): (sighting, match)
        for sighting in sightings
        for match in _matches(catalogue, sighting.event)
    }
    wanted = _without_known_contents(connection, _without_old_times(connection, wanted))
    new = _insert_wanted(connection, catalogue, wanted)
    store_positions(connection, read)
    return {row["service_uid"] for row in new}


def claim_again(
    connection: Connection, catalogue: Catalogue, sightings: Sequence[Sighting], again: Again
) -> tuple[int, int]:
    """Claim for one service, as a replay does; return how many events it wants and how many executions are new."""
    catalogue.refresh(connection, hold=True)
    wanted = wanted_again(connection, catalogue, sightings, again)
    return len(wanted), len(_insert_wanted(connection, catalogue, wanted, again.replay))


def wanted_again(connection: Connection, catalogue: Catalogue, sightings: Sequence[Sighting], again: Again) -> Wanted:
    """Return what a replay would claim, by execution id; some of it may be there."""
    catalogue.refresh(connection)
    wanted = {
        again.execution_id(sighting.event): (sighting, match)
        for sighting in sightings
        for match in _matches_of(catalogue, sighting.event)
        if match.service_uid == again.service_uid
    }
    wanted = _without_old_times(connection, wanted)
    return wanted if again.replay is not None else _without_known_contents(connection, wanted)


def known(connection: Connection, execution_ids: Collection[str]) -> set[str]:
    """Return those of the ids that have a row, be it only a tombstone."""
    ids = sorted(execution_ids)
    found: set[str] = set()
    for start in range(0, len(ids), _IDS_PER_QUERY):
        some = ids[start : start + _IDS_PER_QUERY]
        found.update(connection.scalars(select(executions.c.id).where(executions.c.id.in_(some))))
    return found


def claimed_with_etags(
    connection: Connection, provider: str, bucket: str, contents: Collection[tuple[bytes, str]]
) -> dict[tuple[bytes, str], set[str]]:
    """Return, per key and ETag, the uids of the services that have an execution for an event of that content."""
    wanted = {(subject(key), etag): (key, etag) for key, etag in contents}
    places = sorted(wanted)
    found: dict[tuple[bytes, str], set[str]] = {content: set() for content in wanted.values()}
    for start in range(0, len(places), _IDS_PER_QUERY):
        some = places[start : start + _IDS_PER_QUERY]
        query = (
            select(events.c.subject, events.c.etag, executions.c.service_uid)
            .join(executions, executions.c.event_key == events.c.key)
            .where(
                events.c.provider == provider,
                events.c.bucket == bucket,
                events.c.subject.in_({name for name, _ in some}),
                events.c.etag.in_({etag for _, etag in some}),
            )
        )
        for row in connection.execute(query):
            content = wanted.get((row.subject, row.etag))
            if content is not None:  # of a key's, not only some other key's
                found[content].add(row.service_uid)
    return found


def _matches(catalogue: Catalogue, event: StorageEvent) -> list[Match]:
    """Return what the event starts; only services it was brought for if it names some (design §3.9)."""
    found = _matches_of(catalogue, event)
    if event.service_uids:
        found = [match for match in found if match.service_uid in event.service_uids]
    return found


def _matches_of(catalogue: Catalogue, event: StorageEvent) -> list[Match]:
    """Return the services that want the event, whomever it was brought for.

    An event's route may name one service, and then no other: an object is matched with its inputs, a message starts it.
    """
    if not event.has_object:
        named = catalogue.named.get((event.tenant, event.service or ""))
        return [] if named is None else [Match(named.uid, NO_INPUT)]
    found = catalogue.index.match(event.tenant, event.provider, event.bucket, event.key, event.action, event.size)
    if event.service is not None:
        found = [match for match in found if catalogue.services[match.service_uid].service.name == event.service]
    return found


_same_file = (
    select(executions.c.service_uid, events.c.modified_ns)
    .join(executions, executions.c.event_key == events.c.key)
    .where(
        events.c.provider == bindparam("provider"),
        events.c.bucket == bindparam("bucket"),
        events.c.subject == bindparam("subject"),
        events.c.file_id == bindparam("file_id"),
        events.c.size == bindparam("size"),
        events.c.modified_ns > bindparam("modified_ns"),
    )
)


def _without_old_times(connection: Connection, wanted: Wanted) -> Wanted:
    """Drop what speaks of a file version already claimed under a newer time.

    Tools that copy (cp -p, unzip, rsync) close the file and then set its time back: same path, inode and size with an
    older time is the same version (design §3.2).
    """
    kept: Wanted = {}
    newest: dict[tuple[object, ...], int] = {}
    for identity, (sighting, match) in wanted.items():  # in the order of the bus
        event = sighting.event
        if event.modified_ns is not None:
            file = (match.service_uid, event.provider, event.bucket, event.key, event.file_id, event.size)
            if newest.get(file, 0) > event.modified_ns or match.service_uid in _claimed_under_newer_time(
                connection, event
            ):
                continue
            newest[file] = event.modified_ns
        kept[identity] = (sighting, match)
    return kept


def _without_known_contents(connection: Connection, wanted: Wanted) -> Wanted:
    """Drop what a listing brought of a content that the service has had, where ids cannot tell (design §3.9).

    Never what a notification told: the same content uploaded again is a new event. So this is best effort: a version
    that nobody told of is passed over if its content is that of an earlier one, and a notification that comes after the
    listing starts a second run.
    """
    kept: Wanted = {}
    held: set[tuple[object, ...]] = set()  # by this batch, before it is in the ledger
    for identity, (sighting, match) in wanted.items():  # in the order of the bus
        event = sighting.event
        if event.etag:
            content = (match.service_uid, event.provider, event.bucket, event.key, event.etag)
            if event.by_etag and (content in held or match.service_uid in _uids_with_its_content(connection, event)):
                continue
            held.add(content)
        kept[identity] = (sighting, match)
    return kept


def _uids_with_its_content(connection: Connection, event: StorageEvent) -> set[str]:
    content = (event.key, event.etag or "")
    return claimed_with_etags(connection, event.provider, event.bucket, [content])[content]


def _claimed_under_newer_time(connection: Connection, event: StorageEvent) -> set[str]:
    rows = connection.execute(
        _same_file,
        {
            "provider": event.provider,
            "bucket": event.bucket,
            "subject": subject(event.key),
            "file_id": event.file_id,
            "size": event.size,
            "modified_ns": event.modified_ns,
        },
    )
    return {row.service_uid for row in rows}


def _insert_wanted(
    connection: Connection, catalogue: Catalogue, wanted: Wanted, replay: str | None = None
) -> list[dict[str, Any]]:
    """Insert what is not there yet, queued, with its events; return the new rows.

    Events after executions and only with new ones: the event of a purged dead letter that is told again stays empty.
    """
    if not wanted:
        return []
    time = now(connection)
    rows = [_execution(catalogue, identity, *wanted[identity], time, replay) for identity in sorted(wanted)]
    inserted = insert_new(connection, rows)
    new = [row for row in rows if row["id"] in inserted]
    if new:
        _store_events(connection, [wanted[row["id"]][0] for row in new])
        enqueue(connection, ((row["id"], row["service_uid"], row["tenant"]) for row in new), time)
    return new


def _store_events(connection: Connection, sightings: Iterable[Sighting]) -> None:
    rows = {
        sighting.event.key_in_ledger: {
            "key": sighting.event.key_in_ledger,
            "id": sighting.event.id,
            "tenant": sighting.event.tenant,
            "provider": sighting.event.provider,
            "bucket": sighting.event.bucket,
            "subject": subject(sighting.event.key),
            "size": sighting.event.size,
            "file_id": sighting.event.file_id,
            "modified_ns": sighting.event.modified_ns,
            "etag": sighting.event.etag,
            "recorded_at": int(sighting.event.recorded.timestamp() * 1000),
            "envelope": sighting.envelope,
        }
        for sighting in sightings
    }
    # What a purge emptied is there again for the new execution; what is kept stays as it was first told.
    upsert(connection, events, [rows[key] for key in sorted(rows)], ("key",), ("envelope",), _was_purged)


def _was_purged(_: Any) -> ColumnElement[bool]:
    return events.c.envelope == PURGED


def _execution(
    catalogue: Catalogue, identity: str, sighting: Sighting, match: Match, time: int, replay: str | None
) -> dict[str, Any]:
    return {
        "id": identity,
        "tenant": sighting.event.tenant,
        "service_uid": match.service_uid,
        "service": catalogue.services[match.service_uid].service.name,
        "event_id": sighting.event.id,
        "event_key": sighting.event.key_in_ledger,
        "bucket": sighting.event.bucket,
        "subject": subject(sighting.event.key),
        "input": match.input_index,
        "state": State.PENDING.value,
        "attempt": 1,
        "cancel_requested": False,
        "reason": "",
        "created_at": time,
        "replay": replay,
    }


def insert_new(connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
    """Insert executions unless there are such; return the ids of the new ones. Whoever calls queues them."""
    return insert_unless_there(connection, executions, rows, returning="id")
