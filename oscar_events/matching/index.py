"""Which services an object starts, found without asking all of them.

In:  the active services; the place of an object, what happened to it, its size. Out: the services it starts.
Not here: what an input asks for (wanted.py), why a service was not started (explain.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oscar_events.event import Action
from oscar_events.matching.wanted import Aliases, Wanted, canonical_provider
from oscar_events.service import Service


@dataclass(frozen=True, slots=True)
class ActiveService:
    """A service that events may start."""

    uid: str
    tenant: str
    service: Service


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """A service to start, and the first of its inputs that was met."""

    service_uid: str
    input_index: int


class MatchIndex:
    """Answers which services an object starts; built once per generation of services, never changed.

    A look-up costs one step per folder the key lies in and one per input on those very folders: services on other
    buckets and folders cost nothing, however many there are.
    """

    def __init__(self, entries: Iterable[ActiveService], aliases: Aliases | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._folders: dict[tuple[str, str, str], dict[bytes, list[tuple[Match, Wanted]]]] = {}
        for entry in entries:
            for index, place in enumerate(entry.service.input):
                where = (entry.tenant, canonical_provider(place.storage_provider, self._aliases), place.bucket)
                wanted = Wanted.of(place, entry.service.dispatch)
                inputs = self._folders.setdefault(where, {}).setdefault(wanted.folder, [])
                inputs.append((Match(entry.uid, index), wanted))

    def match(
        self,
        tenant: str,
        provider: str,
        bucket: str,
        key: bytes,
        action: Action = Action.CREATED,
        size: int | None = None,
    ) -> list[Match]:
        """Return the services this starts, each once, by its first input that is met; sorted by service uid.

        size: in bytes, None = unknown, which meets no bounds. A message without an object (RECEIVED) meets no input.
        """
        folders = self._folders.get((tenant, canonical_provider(provider, self._aliases), bucket))
        if folders is None:
            return []
        first: dict[str, Match] = {}
        for folder in _folders_above(key):
            for match, wanted in folders.get(folder, ()):
                if wanted.is_met(key, action, size):
                    first[match.service_uid] = min(match, first.get(match.service_uid, match))
        return sorted(first.values())


def _folders_above(key: bytes) -> Iterator[bytes]:
    yield b""
    slash = key.find(b"/", 1)  # before a leading slash there is only the bucket's root again
    while slash > 0:
        yield key[:slash]
        slash = key.find(b"/", slash + 1)
