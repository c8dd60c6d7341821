"""Backfills: what lay in a service's inputs before anybody could tell of it, listed once and run (design §3.9).

In:  a service; a prefix, a time, whether to run again what ran. Out: plain JSON values; executions, step by step.
Not here: listing (oscar_ingest/listings, whose listers the composition root hands in), when a person wants one (the
command line).

A pass lives in this process only, and is told to go on by whoever wants it, at the rate he wants. What ends it early
loses nothing: a run's id comes from its object, so the same backfill again finds what is there and starts the rest.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, exists, select

from oscar_events.codec import encode
from oscar_events.errors import ConfigurationError, ConflictError, EventError, NotFoundError
from oscar_events.event import DEFAULT_TENANT, StorageEvent
from oscar_events.identity import execution_id
from oscar_events.ledger import claims, services
from oscar_events.ledger.claims import Again, Sighting
from oscar_events.ledger.port import Ledger, now
from oscar_events.ledger.retention import MARGIN
from oscar_events.ledger.services import Catalogue, StoredService
from oscar_events.ledger.tables import executions
from oscar_events.listed import Listed
from oscar_events.matching import ActiveService, Aliases, MatchIndex, canonical_provider, input_folders
from oscar_events.matching.outermost import below_prefix, outermost
from oscar_events.settings import RetentionSettings

# As intake's batches, and for the same reason: what one transaction claims holds the writer for ~20 ms.
STEP = 256
# Objects looked at in one step even if none of them is for the service: an answer then takes a second at most.
_LOOKED_AT = 20_000
# Passes that somebody began and has not brought to an end; each holds a page of its listing.
_MOST_OPEN = 8
# As long as a replay's id, which it takes the place of in the ids of runs.
_ID_BYTES = 5
_ID = re.compile(r"[0-9a-f]{10}")


class Listing(Protocol):
    """The listings of one provider; see oscar_ingest/listings/port.py, where they are."""

    provider: str

    def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[Any]]:
        """Yield what lies below these folders."""

    async def event(self, found: Any, recorded: datetime, service_uids: tuple[str, ...]) -> StorageEvent | None:
        """Return the event of an object, None if it starts nothing. Raises EventError."""


Listings = Callable[[], Sequence[Listing]]


@dataclass(slots=True)
class _Pass:
    """One pass. listed: objects in the inputs; matched: those the service wants; made: new runs."""

    id: str
    uid: str
    service: str
    as_new: bool
    dry_run: bool
    objects: AsyncGenerator[tuple[Listing, Listed] | None]
    listed: int = 0
    matched: int = 0
    made: int = 0
    ended: bool = False
    refused: list[str] = field(default_factory=list)

    def view(self) -> dict[str, Any]:
        """Return it as JSON values. there: runs that existed before."""
        return {
            "id": self.id,
            "service": self.service,
            "as_new": self.as_new,
            "dry_run": self.dry_run,
            "listed": self.listed,
            "matched": self.matched,
            "made": self.made,
            "there": self.matched - self.made,
            "refused": self.refused,
            "ended": self.ended,
        }


class Backfills:
    """The backfills of a platform.

    listings: of the stores there are. retention: how long the ledger remembers a run that ended. wake: told when there
    is something for the scheduler to do at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        aliases: Aliases,
        listings: Listings,
        retention: Callable[[], RetentionSettings],
        wake: Callable[[], None],
    ) -> None:
        self._ledger, self._aliases, self._listings, self._wake = ledger, aliases, listings, wake
        self._retention = retention
        self._catalogue = Catalogue(aliases)  # of the writer's thread alone
        self._open: OrderedDict[str, _Pass] = OrderedDict()

    async def begin(
        self,
        service: str,
        *,
        prefix: str = "",
        since: datetime | None = None,
        as_new: bool = False,
        dry_run: bool = False,
        resume: str | None = None,
    ) -> dict[str, Any]:
        """Open a pass over the objects in the service's inputs; return it, with nothing done yet.

        prefix: of keys, from the bucket on. since: by when objects came to be there. as_new: run again what ran; the
        pass's id makes those runs new. resume: the id of such a pass that was interrupted. Raises NotFoundError for a
        service or pass that is not there, ConflictError if the service is so old that runs of it may be forgotten,
        ConfigurationError for an input that cannot be listed.
        """
        if resume is not None and not as_new:
            raise ConfigurationError("--resume belongs to --as-new; without it, the same backfill once more goes on")
        stored = await self._ledger.read(lambda connection: self._checked(connection, service, as_new, resume))
        objects = self._objects(stored, self._placed(stored), prefix.encode(), since)
        identity = resume or secrets.token_hex(_ID_BYTES)
        opened = _Pass(identity, stored.uid, service, as_new, dry_run, objects)
        self._open[identity] = opened
        while len(self._open) > _MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            await oldest.objects.aclose()
        return opened.view()

    async def advance(self, backfill: str, most: int = STEP) -> dict[str, Any]:
        """Bring a pass forward by as many objects of the service as `most`; return it. Raises NotFoundError.

        What the listing raises ends the pass: NotFoundError for a bucket, ConfigurationError, UnavailableError.
        """
        going = self._open.pop(backfill, None)
        if going is None:
            raise NotFoundError(
                f"backfill {backfill} is not under way here any more; begin it again: what has its run starts no second"
            )
        wanted: list[tuple[Listing, Listed]] = []
        looked_at = 0
        async for one in going.objects:
            looked_at += 1
            going.listed += 1
            if one is not None:
                wanted.append(one)
            if len(wanted) >= min(most, STEP) or looked_at >= _LOOKED_AT:
                break
        else:
            going.ended = True
        await self._run(going, wanted)
        if not going.ended:
            self._open[backfill] = going
        return going.view()

    def _checked(self, connection: Connection, service: str, as_new: bool, resume: str | None) -> StoredService:
        uid = services.uid_of(connection, DEFAULT_TENANT, service)
        (stored,) = (one for one in services.active(connection) if one.uid == uid)
        life = self._retention().tombstones - MARGIN
        age = timedelta(milliseconds=now(connection) - stored.created_at)
        if not as_new and age >= life:
            raise ConflictError(
                f"service {service} is {age.days} days old, and runs are remembered for {life.days}: what it has "
                "run before can no longer be told from what it has not; to run all of it, whatever ran: --as-new"
            )
        if resume is not None and not _has_run(connection, service, resume):
            raise NotFoundError(
                f"there is no run of a backfill {resume!r} for {service}; without --resume a new one begins"
            )
        return stored

    def _placed(self, stored: StoredService) -> list[tuple[Listing, dict[str, list[bytes]]]]:
        """Return what to list where. Raises ConfigurationError for an input that cannot be."""
        listings = {listing.provider: listing for listing in self._listings()}
        providers = {canonical_provider(place.storage_provider, self._aliases) for place in stored.service.input}
        if not providers:
            raise ConfigurationError(f"service {stored.service.name} has no input; there is nothing to list")
        if missing := sorted(providers - listings.keys()):
            known = ", ".join(sorted(listings)) or "none"
            raise ConfigurationError(
                f"inputs of {stored.service.name} lie in {', '.join(missing)}, which this platform cannot list; it can "
                f"list {known}: define the store, with its keys, under storage_providers in config.yaml"
            )
        placed = []
        for provider in sorted(providers):
            folders = input_folders([stored.service], provider, self._aliases)
            of_buckets = {name: [folder.name.encode() for folder in inside] for name, inside in folders.items()}
            placed.append((listings[provider], of_buckets))
        return placed

    async def _objects(
        self,
        stored: StoredService,
        placed: Sequence[tuple[Listing, dict[str, list[bytes]]]],
        prefix: bytes,
        since: datetime | None,
    ) -> AsyncGenerator[tuple[Listing, Listed] | None]:
        """Yield each object there is; None for one that the service does not want."""
        index = MatchIndex([ActiveService(stored.uid, stored.tenant, stored.service)], self._aliases)
        for listing, buckets in placed:
            for bucket, folders in buckets.items():
                narrowed = outermost(one for folder in folders if (one := below_prefix(folder, prefix)) is not None)
                if not narrowed:
                    continue
                async with aclosing(listing.pages(bucket, narrowed)) as pages:
                    async for page in pages:
                        for found in page:
                            if not found.key.startswith(prefix) or (since is not None and found.arrived < since):
                                continue
                            key, size = found.key, found.size
                            matches = index.match(stored.tenant, listing.provider, found.bucket, key, size=size)
                            yield (listing, found) if matches else None

    async def _run(self, going: _Pass, wanted: Sequence[tuple[Listing, Listed]]) -> None:
        """Claim for what has no run yet, or for all of it."""
        missing = wanted
        if not going.as_new:
            names = {
                execution_id(DEFAULT_TENANT, going.uid, found.event_id): one for one in wanted for _, found in [one]
            }
            known = await self._ledger.read(lambda connection: claims.known(connection, names))
            missing = [one for name, one in names.items() if name not in known]
        there = len(wanted) - len(missing)
        sightings = []
        for listing, found in missing:
            try:
                event = await listing.event(found, datetime.now(UTC), (going.uid,))
            except EventError as error:
                going.refused.append(f"{found.bucket}/{found.key.decode(errors='backslashreplace')}: {error}")
                continue
            if event is not None:
                sightings.append(Sighting(event, encode(event).value))
        again = Again(going.uid, going.id if going.as_new else None)
        matched, made = await self._claim(sightings, again, dry_run=going.dry_run)
        going.matched += there + matched
        going.made += made
        if made and not going.dry_run:
            self._wake()

    async def _claim(self, sightings: Sequence[Sighting], again: Again, *, dry_run: bool) -> tuple[int, int]:
        """Return how many events the service wants and how many runs are new, or would be."""
        if not sightings:
            return 0, 0
        if not dry_run:
            return await self._ledger.write(
                lambda connection: claims.claim_again(connection, self._catalogue, sightings, again)
            )

        def unit(connection: Connection) -> tuple[int, int]:
            wanted: Collection[str] = claims.wanted_again(connection, Catalogue(self._aliases), sightings, again)
            return len(wanted), len(wanted) - len(claims.known(connection, wanted))

        return await self._ledger.read(unit)


def _has_run(connection: Connection, service: str, backfill: str) -> bool:
    if not _ID.fullmatch(backfill):
        return False
    found = exists().where(executions.c.service == service, executions.c.replay == backfill)
    return bool(connection.scalar(select(found)))
