"""What is listed for which services, and which of the objects found are for whom.

In:  services with the times of their inputs; objects as listings tell of them; a window of time. Out: candidates.
Not here: listing (listings/), what is known of a candidate already, publishing (reconcile.py). Pure.

An object is for an input if it arrived no earlier than the input's `since`. One that is older than a tombstone may live
is not looked at: that nothing is known of it would no longer mean that nothing was done. One that is so young that its
notification may be on its way, or on the bus before intake, is left to the next listing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from oscar_events.event import DEFAULT_TENANT
from oscar_events.identity import execution_id
from oscar_events.ledger.retention import MARGIN
from oscar_events.listed import Listed
from oscar_events.matching import ActiveService, Aliases, MatchIndex, input_folders
from oscar_events.matching.outermost import outermost

Object = TypeVar("Object", bound=Listed)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A service whose inputs are listed. since: one aware time per input, by the storage's clock."""

    service: ActiveService
    since: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """When an object must have arrived to be looked at; both ends included. newest: None = however young."""

    oldest: datetime
    newest: datetime | None

    @classmethod
    def at(cls, now: datetime, tombstone_life: timedelta, youngest: timedelta) -> Window:
        """Return the window of this moment. youngest: the least age of what is looked at."""
        return cls(now - tombstone_life + MARGIN, now - youngest if youngest else None)

    def holds(self, arrived: datetime) -> bool:
        """Tell whether what arrived then is looked at."""
        return arrived >= self.oldest and (self.newest is None or arrived <= self.newest)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Object]):
    """An object, and the services it may be for: execution id -> service uid."""

    found: Object
    services: Mapping[str, str]


class Plan:
    """What is to be listed for these services, and which of the objects are for whom. Immutable."""

    def __init__(self, services: Sequence[Reconciled], aliases: Aliases) -> None:
        wanted = [entry for entry in services if entry.service.service.dispatch.reconcile]
        self._aliases = aliases
        self._services = [entry.service.service for entry in wanted]
        self._since = {entry.service.uid: entry.since for entry in wanted}
        self._index = MatchIndex([entry.service for entry in wanted], aliases)

    def places(self, provider: str) -> dict[str, list[bytes]]:
        """Return bucket -> the folders to list at this provider, none within another."""
        found = input_folders(self._services, provider, self._aliases)
        return {bucket: outermost(folder.name.encode() for folder in folders) for bucket, folders in found.items()}

    def choose(self, provider: str, objects: Iterable[Object], window: Window) -> Iterator[Candidate[Object]]:
        """Yield the objects of this provider that are for somebody, with their execution ids."""
        for found in objects:
            if not window.holds(found.arrived):
                continue
            matches = self._index.match(DEFAULT_TENANT, provider, found.bucket, found.key, size=found.size)
            services = {
                execution_id(DEFAULT_TENANT, match.service_uid, found.event_id): match.service_uid
                for match in matches
                if found.arrived >= self._since[match.service_uid][match.input_index]
            }
            if services:
                yield Candidate(found, services)
