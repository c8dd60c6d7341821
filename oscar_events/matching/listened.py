"""Which parts of which buckets somebody has to tell of, for services to start.

In:  services, a provider. Out: per bucket, the folders that services take inputs from and what has to happen there.
Not here: having it told (oscar_ingest/sources/minio_listen.py, manager/watching.py), which services an event starts
(index.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from oscar_events.event import Action
from oscar_events.matching.wanted import Aliases, canonical_provider
from oscar_events.service import Service, StorageIO


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a bucket that inputs lie in, and what of it is wanted. name: "" is the whole bucket."""

    name: str
    actions: frozenset[Action]

    @property
    def prefix(self) -> str:
        """What the keys in it begin with."""
        return f"{self.name}/" if self.name else ""


def input_folders(services: Iterable[Service], provider: str, aliases: Aliases) -> dict[str, tuple[Folder, ...]]:
    """Return per bucket at the provider the folders of the services' inputs, sorted by name."""
    inputs = ((place, service.dispatch.event_types) for service in services for place in service.input)
    return folders_of(inputs, provider, aliases)


def folders_of(
    inputs: Iterable[tuple[StorageIO, Iterable[str]]], provider: str, aliases: Aliases
) -> dict[str, tuple[Folder, ...]]:
    """Return the same of single inputs, each with the types of events that its service wants."""
    wanted = canonical_provider(provider, aliases)
    found: defaultdict[str, defaultdict[str, set[Action]]] = defaultdict(lambda: defaultdict(set))
    for place, event_types in inputs:
        if canonical_provider(place.storage_provider, aliases) == wanted:
            found[place.bucket][place.folder] |= {Action(kind) for kind in event_types}
    return {
        bucket: tuple(Folder(name, frozenset(actions)) for name, actions in sorted(folders.items()))
        for bucket, folders in sorted(found.items())
    }
