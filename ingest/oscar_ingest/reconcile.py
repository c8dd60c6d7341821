"""Fills the gaps: lists what the services' inputs cover and publishes what no execution speaks of (design §3.9).

In:  the services with the times of their inputs, the executions known, what lies in storage. Out: one event per object
that some service has not seen, naming the services it is for.
Not here: for whom an object is (plan.py), listing (listings/), when to list (app.py), claiming (intake, which makes a
repeat nothing).

A bucket that cannot be listed is said once a minute and ends no other's listing, a store that does not answer holds up
no other store; a ledger that is away ends the listing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from math import inf
from typing import NamedTuple, Protocol

from oscar_events.bus.port import EVENTS, Bus, OffsetGoneError
from oscar_events.errors import ConfigurationError, EventError, LedgerError, NotFoundError, UnavailableError
from oscar_events.listed import Listed
from oscar_events.log import logger
from oscar_events.matching import Aliases
from oscar_ingest.listings.port import AnyLister
from oscar_ingest.plan import Candidate, Plan, Reconciled, Window
from oscar_ingest.publisher import REMEMBERED, Publisher

_log = logger(__name__)

# Often enough to be seen in a log that is watched, seldom enough not to fill it.
_SAY_AGAIN_S = 60.0
# What intake read and no execution came of is published again after so long: the log may have lost it, or the service
# was another for a moment. Not sooner, for what intake drops each time: a folder unpacked with its times set back may
# have 100,000 such files, 100 MB of log.
_AGAIN_AFTER = timedelta(days=1)


class Content(NamedTuple):
    """What an object holds, as far as its ETag tells."""

    provider: str
    bucket: str
    key: bytes
    etag: str


class Catalogue(Protocol):
    """What the reconciler has to know of the ledger. All raise LedgerError while it is away."""

    async def reconciled_inputs(self) -> Sequence[Reconciled]:
        """Return the active services with the times of their inputs."""

    async def known(self, execution_ids: Collection[str]) -> set[str]:
        """Return those of the ids that have an execution, live or ended, or its tombstone."""

    async def known_contents(self, contents: Collection[Content]) -> Mapping[Content, Collection[str]]:
        """Return, per content, the uids of the services that had an event with it."""

    async def positions(self, topic_id: str) -> Mapping[int, int]:
        """Return the next offset that intake reads, per partition it ever read."""


async def intake_lag(bus: Bus, catalogue: Catalogue, now: datetime) -> timedelta:
    """Return how long the oldest event has lain on the bus that intake has not read; nothing if it has read all."""
    read = await catalogue.positions(await bus.topic_id(EVENTS))
    oldest_ms: list[int] = []
    for partition in await bus.partitions(EVENTS):
        first, end = await bus.offsets(partition)
        position = max(first, read.get(partition.number, first))
        if position >= end:
            continue
        with suppress(OffsetGoneError):  # retention was faster: what was there is too old to matter
            oldest_ms += [delivery.record.timestamp_ms for delivery in await bus.read({partition: position}, 1)]
    if not oldest_ms:
        return timedelta(0)
    return max(timedelta(0), now - datetime.fromtimestamp(min(oldest_ms) / 1000, UTC))


class Reconciler:
    """Lists what services take their inputs from.

    settled_after: so long after a listing its objects are old enough to be told of by the next one; what no
    notification told of is found by then.
    """

    def __init__(
        self,
        bus: Bus,
        catalogue: Catalogue,
        publisher: Publisher,
        listers: Sequence[AnyLister],
        *,
        tombstone_life: timedelta,
        aliases: Aliases,
    ) -> None:
        self._bus, self._catalogue, self._publisher, self._listers = bus, catalogue, publisher, listers
        self._tombstone_life, self._aliases = tombstone_life, aliases
        # By provider, when it was listed last; by bucket, when it was said last that it cannot be.
        self._listed: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._unlisted: dict[str, str] = {}
        # More than the publisher remembers, published by the last listing, which ended then.
        self._flooded_at: datetime | None = None
        self.settled_after = timedelta(0)

    @property
    def trouble(self) -> str:
        """Why some buckets could not be listed when that was last tried; empty if all could, or none was."""
        return "; ".join(dict.fromkeys(self._unlisted.values()))

    async def run_once(self, *, rested: bool = False) -> int:
        """List everything once; return how many objects were published. Raises LedgerError, BusError.

        rested: only what has not been listed for as long as its lister wants to rest.
        """
        plan = Plan(await self._catalogue.reconciled_inputs(), self._aliases)
        now = datetime.now(UTC)
        lag = await intake_lag(self._bus, self._catalogue, now)
        self.settled_after = lag + max((lister.min_age for lister in self._listers), default=timedelta(0))
        if self._flooded_at is not None and now - lag <= self._flooded_at:
            return 0  # intake has not come to what the last listing found: it would be found and published again
        self._flooded_at = None
        self._publisher.forget_listed(now - lag - _AGAIN_AFTER)
        try:
            async with asyncio.TaskGroup() as stores:  # one that is silent is given up only after minutes
                listed = [
                    stores.create_task(self._list_store(plan, lister, now, lag), name=f"listing {lister.provider}")
                    for lister in self._listers
                    if not (rested and self._rests(lister))
                ]
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        published = sum(task.result() for task in listed)
        if published > REMEMBERED:
            await self._publisher.published()
            self._flooded_at = datetime.now(UTC)
        return published

    def _rests(self, lister: AnyLister) -> bool:
        return time.monotonic() - self._listed.get(lister.provider, -inf) < lister.rest.total_seconds()

    async def _list_store(self, plan: Plan, lister: AnyLister, now: datetime, lag: timedelta) -> int:
        self._listed[lister.provider] = time.monotonic()
        window = Window.at(now, self._tombstone_life, lister.min_age + lag)
        published = 0
        for bucket, folders in plan.places(lister.provider).items():
            published += await self._list(plan, lister, bucket, folders, window)
        return published

    async def _list(self, plan: Plan, lister: AnyLister, bucket: str, folders: Sequence[bytes], window: Window) -> int:
        published = 0
        try:
            async with aclosing(lister.pages(bucket, folders)) as pages:
                async for page in pages:
                    published += await self._fill(lister, list(plan.choose(lister.provider, page, window)))
        except LedgerError:
            raise
        except (UnavailableError, NotFoundError, ConfigurationError) as error:
            self._say(f"{lister.provider}/{bucket}", error)
        else:
            self._unlisted.pop(f"{lister.provider}/{bucket}", None)
        return published

    def _forget(self, provider: str, buckets: Collection[str]) -> None:
        """Forget what was wrong with buckets of the provider that no service wants any more."""
        gone = [where for where in self._unlisted if where.startswith(f"{provider}/")]
        for where in gone:
            if where.removeprefix(f"{provider}/") not in buckets:
                del self._unlisted[where]

    def _say(self, where: str, error: Exception) -> None:
        self._unlisted[where] = str(error)
        said = self._said.get(where)
        if said is None or time.monotonic() - said >= _SAY_AGAIN_S:
            self._said[where] = time.monotonic()
            _log.warning("a bucket cannot be listed: what nobody told of is not found there", error=str(error))

    async def _fill(self, lister: AnyLister, candidates: Sequence[Candidate[Listed]]) -> int:
        # What was published lately and intake has not come to is neither looked up nor published again.
        wanted = [candidate for candidate in candidates if self._publisher.is_new(candidate.services)]
        if not wanted:
            return 0
        known = await self._catalogue.known([name for candidate in wanted for name in candidate.services])
        contents = [_content(lister.provider, one.found) for one in wanted if one.found.by_etag]
        seen = await self._catalogue.known_contents(contents) if contents else {}
        published = 0
        for candidate in wanted:
            had = seen.get(_content(lister.provider, candidate.found), ()) if candidate.found.by_etag else ()
            missing = tuple(uid for name, uid in candidate.services.items() if name not in known and uid not in had)
            if missing:
                published += await self._publish(lister, candidate.found, missing)
        return published

    async def _publish(self, lister: AnyLister, found: Listed, service_uids: tuple[str, ...]) -> bool:
        try:
            event = await lister.event(found, datetime.now(UTC), service_uids)
        except EventError as error:
            await self._publisher.refuse(f"{found.bucket}/".encode() + found.key, lister.source, str(error))
            return False
        if event is None:
            return False
        await self._publisher.put(event)
        return True


def _content(provider: str, found: Listed) -> Content:
    return Content(provider, found.bucket, found.key, found.etag)
