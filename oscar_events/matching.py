"""Which services an object starts, and whether services would start each other for ever.

In:  the active services; the place of an object. Out: the services it starts; the names along a loop.
Not here: events and their types, claiming (intake), listing (the reconciler, which asks here too).

An input is met if four things hold, each a function or a key of the index, in this order: tenant, provider and bucket
are equal; the key is below the folder; its rest has one of the prefixes; its rest has one of the suffixes. OSCAR itself
does not filter inputs by prefix and suffix. Keys are bytes and compared as they are: what people wrote is encoded as
UTF-8, and nothing is normalised, decoded or folded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from oscar_events.service import Service, StorageIO

Aliases = Mapping[str, str]


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


def below_folder(key: bytes, folder: bytes) -> bytes | None:
    """Return the key relative to the folder, or None if it is not below it; the folder's own marker object is not."""
    inside = folder + b"/" if folder else b""
    return key[len(inside) :] if key.startswith(inside) and len(key) > len(inside) else None


def has_prefix(relative_key: bytes, prefixes: tuple[bytes, ...]) -> bool:
    """Tell whether a key relative to the folder starts with one of the prefixes; none given = any key does."""
    return not prefixes or relative_key.startswith(prefixes)


def has_suffix(relative_key: bytes, suffixes: tuple[bytes, ...]) -> bool:
    """Tell whether a key relative to the folder ends with one of the suffixes; none given = any key does."""
    return not suffixes or relative_key.endswith(suffixes)


def canonical_provider(provider: str, aliases: Aliases) -> str:
    """Return the provider an alias stands for, one step: on a laptop `minio.default` may be `local.default`."""
    return aliases.get(provider, provider)


@dataclass(frozen=True, slots=True)
class _Filter:
    """What one place asks of a key below its bucket, in bytes."""

    folder: bytes
    prefixes: tuple[bytes, ...]
    suffixes: tuple[bytes, ...]

    @classmethod
    def of(cls, place: StorageIO) -> _Filter:
        return cls(place.folder.encode(), _encoded(place.prefix), _encoded(place.suffix))

    def key_prefixes(self) -> Iterator[bytes]:
        """Yield what whole keys start with: folder and prefix in one."""
        inside = self.folder + b"/" if self.folder else b""
        return (inside + prefix for prefix in self.prefixes or (b"",))


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


class MatchIndex:
    """Answers which services an object starts; built once per generation of services, never changed.

    A look-up costs one step per folder the key lies in and one per input on those very folders: services on other
    buckets and folders cost nothing, however many there are.
    """

    def __init__(self, entries: Iterable[ActiveService], aliases: Aliases | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._folders: dict[tuple[str, str, str], dict[bytes, list[tuple[Match, _Filter]]]] = {}
        for entry in entries:
            for index, place in enumerate(entry.service.input):
                where = (entry.tenant, canonical_provider(place.storage_provider, self._aliases), place.bucket)
                wanted = _Filter.of(place)
                inputs = self._folders.setdefault(where, {}).setdefault(wanted.folder, [])
                inputs.append((Match(entry.uid, index), wanted))

    def match(self, tenant: str, provider: str, bucket: str, key: bytes) -> list[Match]:
        """Return the services this object starts, each once, by its first input that is met; sorted by service uid."""
        folders = self._folders.get((tenant, canonical_provider(provider, self._aliases), bucket))
        if folders is None:
            return []
        first: dict[str, Match] = {}
        for folder in _folders_above(key):
            for match, wanted in folders.get(folder, ()):
                rest = below_folder(key, folder)
                if rest is not None and has_prefix(rest, wanted.prefixes) and has_suffix(rest, wanted.suffixes):
                    first[match.service_uid] = min(match, first.get(match.service_uid, match))
        return sorted(first.values())


def _folders_above(key: bytes) -> Iterator[bytes]:
    yield b""
    slash = key.find(b"/", 1)  # before a leading slash there is only the bucket's root again
    while slash > 0:
        yield key[:slash]
        slash = key.find(b"/", slash + 1)


def find_loop(services: Sequence[Service], aliases: Aliases | None = None) -> list[str] | None:
    """Return the names along a loop in which each service's output could start the next, the first again at the end.

    None if there is no loop. services: of one tenant, their names distinct. Names of files are up to the scripts, so an
    output reaches an input if any key at all could be written by the one and start the other.
    """
    inputs = _InputsByKey(services, aliases or {})
    successors = {service.name: inputs.started_by(service.output) for service in services}
    graph: TopologicalSorter[str] = TopologicalSorter()
    for name, started in successors.items():
        for follower in sorted(started):
            graph.add(follower, name)
    try:
        graph.prepare()
    except CycleError as error:
        loop: list[str] = error.args[1]
        return loop
    return None


class _InputsByKey:
    """Finds the inputs an output could start, without comparing it with every input of the bucket.

    Two places share a key iff one's key prefix starts with the other's and one's suffix ends with the other's: the
    longer prefix, anything, and the longer suffix is such a key. So the inputs of a bucket lie sorted by key prefix:
    those that start with the output's are neighbours, those it starts with are found under its own beginnings.
    """

    def __init__(self, services: Sequence[Service], aliases: Aliases) -> None:
        self._aliases = aliases
        unsorted: defaultdict[tuple[str, str], defaultdict[bytes, list[tuple[str, _Filter]]]]
        unsorted = defaultdict(lambda: defaultdict(list))
        for service in services:
            for place in service.input:
                wanted = _Filter.of(place)
                for prefix in wanted.key_prefixes():
                    unsorted[self._bucket(place)][prefix].append((service.name, wanted))
        self._buckets = {bucket: dict(sorted(inputs.items())) for bucket, inputs in unsorted.items()}
        self._sorted = {bucket: list(inputs) for bucket, inputs in self._buckets.items()}

    def _bucket(self, place: StorageIO) -> tuple[str, str]:
        return canonical_provider(place.storage_provider, self._aliases), place.bucket

    def started_by(self, outputs: Iterable[StorageIO]) -> set[str]:
        """Return the names of the services that one of the outputs could start."""
        started: set[str] = set()
        for place in outputs:
            inputs, written = self._buckets.get(self._bucket(place), {}), _Filter.of(place)
            for prefix in written.key_prefixes():
                for shared in self._compatible(self._bucket(place), prefix):
                    started.update(
                        name for name, wanted in inputs[shared] if _suffixes_meet(written.suffixes, wanted.suffixes)
                    )
        return started

    def _compatible(self, bucket: tuple[str, str], prefix: bytes) -> Iterator[bytes]:
        inputs, ordered = self._buckets.get(bucket, {}), self._sorted.get(bucket, [])
        yield from (prefix[:end] for end in range(len(prefix)) if prefix[:end] in inputs)
        for candidate in ordered[bisect_left(ordered, prefix) :]:
            if not candidate.startswith(prefix):
                return
            yield candidate


def _suffixes_meet(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> bool:
    return not left or not right or any(a.endswith(b) or b.endswith(a) for a in left for b in right)
