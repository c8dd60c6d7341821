"""Fills the gaps: lists what the services' inputs cover and publishes what no execution speaks of (design §3.9).

In:  the services with the times of their inputs, the executions known, the files there are.
Out: one event per file that some service has not seen, naming the services it is for.
Not here: when to list (app.py), being told of files (sources/), claiming (intake, which makes a repeat nothing).

A file is for an input if it arrived (its ctime, or a folder it is in was moved) no earlier than the input's `since`.
One that is older than a tombstone may live is not looked at: that nothing is known of it would no longer mean that
nothing was done.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol

from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.event import DEFAULT_TENANT
from oscar_events.identity import execution_id
from oscar_events.matching import ActiveService, MatchIndex, canonical_provider
from oscar_events.writers import under_lease
from oscar_ingest.folder_record import File
from oscar_ingest.publisher import Publisher
from oscar_ingest.sources.announcer import announce
from oscar_ingest.sources.listing import Place, walk
from oscar_ingest.sources.look import look

# Files per step: enough to hide the cost of a thread and of a query, few enough to hold in memory at any size.
STEP = 500
# The clocks of ledger and storage, and the hours a file may wait in the bus, taken off a tombstone's life.
MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A service whose inputs are listed. since: one aware time per input, by the storage's clock."""

    service: ActiveService
    since: tuple[datetime, ...]


class Catalogue(Protocol):
    """What the reconciler has to know of the ledger. Both raise LedgerError while it is away."""

    async def reconciled_inputs(self) -> Sequence[Reconciled]:
        """Return the active services with the times of their inputs."""

    async def known(self, execution_ids: Collection[str]) -> set[str]:
        """Return those of the ids that have an execution, live or ended, or its tombstone."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, and the services it may be for: execution id -> service uid."""

    file: File
    services: Mapping[str, str]


class Plan:
    """What is to be listed for these services, and which of the files are for whom. Immutable."""

    def __init__(self, services: Sequence[Reconciled], aliases: Mapping[str, str]) -> None:
        self._since = {entry.service.uid: entry.since for entry in services}
        self._index = MatchIndex([entry.service for entry in services], aliases)
        self.places = _outermost(
            Place(place.bucket, place.folder.encode())
            for entry in services
            for place in entry.service.service.input
            if canonical_provider(place.storage_provider, aliases) == LOCAL_PROVIDER
        )

    def choose(self, files: Iterable[File], now: datetime, tombstone_life: timedelta) -> Iterator[Candidate]:
        """Yield the files that are for somebody, with their execution ids."""
        oldest = now - tombstone_life + MARGIN
        for file in files:
            if file.arrived < oldest:
                continue
            services = {
                execution_id(DEFAULT_TENANT, match.service_uid, file.event_id): match.service_uid
                for match in self._index.match(DEFAULT_TENANT, LOCAL_PROVIDER, file.bucket, file.key, size=file.size)
                if file.arrived >= self._since[match.service_uid][match.input_index]
            }
            if services:
                yield Candidate(file, services)


class Reconciler:
    """Lists the folders that services take their inputs from."""

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue,
        publisher: Publisher,
        *,
        tombstone_life: timedelta,
        aliases: Mapping[str, str],
    ) -> None:
        self._root = os.fsencode(root.resolve())
        self._catalogue, self._publisher = catalogue, publisher
        self._tombstone_life, self._aliases = tombstone_life, aliases

    async def run_once(self) -> int:
        """List everything once; return how many files were published. Raises LedgerError."""
        plan = Plan(await self._catalogue.reconciled_inputs(), self._aliases)
        files = walk(self._root, plan.places)
        published = 0
        while step := await asyncio.to_thread(lambda: list(islice(files, STEP))):
            published += await self._fill(list(plan.choose(step, datetime.now(UTC), self._tombstone_life)))
        return published

    async def _fill(self, candidates: Sequence[Candidate]) -> int:
        # What was published lately and intake has not come to is neither looked up nor published again.
        wanted = [candidate for candidate in candidates if self._publisher.is_new(candidate.services)]
        known = await self._catalogue.known([name for candidate in wanted for name in candidate.services])
        published = 0
        for candidate in wanted:
            missing = tuple(uid for name, uid in candidate.services.items() if name not in known)
            if missing and self._is_complete(candidate.file):
                await announce(self._publisher, candidate.file, "listed", missing)
                published += 1
        return published

    def _is_complete(self, file: File) -> bool:
        """Tell whether the file is still the one that was listed, and nobody writes it: else its turn comes later."""
        path = os.path.join(self._root, os.fsencode(file.bucket), file.key)
        return look(path, Place(file.bucket, file.key), time.time_ns(), under_lease) == file


def _outermost(places: Iterable[Place]) -> list[Place]:
    """Return the places that lie in no other of them, so that no file is walked over twice."""
    kept: list[Place] = []
    # Sorted by segments, what lies in a place follows it at once.
    for place in sorted(set(places), key=lambda place: (place.bucket, place.key.split(b"/"))):
        if not (kept and _is_within(place, kept[-1])):
            kept.append(place)
    return kept


def _is_within(inner: Place, outer: Place) -> bool:
    return inner.bucket == outer.bucket and (not outer.key or (inner.key + b"/").startswith(outer.key + b"/"))
