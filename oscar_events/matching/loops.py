"""Whether services would start each other for ever.

In:  the services of a tenant. Out: the names along a loop, None if there is none.
Not here: which services an event starts (index.py), runs that make each other's inputs in other ways (hop_count).

Names of files are up to the scripts, so an output reaches an input if any key at all could be written by the one and
start the other. A loop is never missed: what cannot be decided from the service files (a glob beyond its beginning and
end, a size) counts as met.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from oscar_events.event import Action
from oscar_events.matching.wanted import Aliases, Wanted, canonical_provider
from oscar_events.service import Dispatch, Service, StorageIO

# Putting a result tells of one of these, however the store calls it; it takes nothing away.
_BY_PUTTING = frozenset(Action) - {Action.REMOVED, Action.RECEIVED}
_ANY: tuple[bytes, ...] = (b"",)
# Of an output only its own prefix and suffix count: filters are about what starts a run.
_UNFILTERED = Dispatch()


def find_loop(services: Sequence[Service], aliases: Aliases | None = None) -> list[str] | None:
    """Return the names along a loop in which each service's output could start the next, the first again at the end.

    None if there is no loop. services: of one tenant, their names distinct.
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


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of a bucket that start with one of the prefixes and end with one of the suffixes."""

    prefixes: tuple[bytes, ...]
    suffixes: tuple[bytes, ...]

    @classmethod
    def of(cls, wanted: Wanted) -> _Keys:
        """Return the keys that come into question, at least: folder and prefix in one, and the glob's both ends."""
        inside = wanted.folder + b"/" if wanted.folder else b""
        prefixes, suffixes = _ANY, _ANY
        for group in wanted.prefixes:
            prefixes = _both(prefixes, group, bytes.startswith)
        for group in wanted.suffixes:
            suffixes = _both(suffixes, group, bytes.endswith)
        if wanted.globs:
            prefixes = _both(prefixes, (glob.prefix.encode() for glob in wanted.globs), bytes.startswith)
            suffixes = _both(suffixes, (glob.suffix.encode() for glob in wanted.globs), bytes.endswith)
        return cls(tuple(inside + prefix for prefix in prefixes), suffixes)


class _InputsByKey:
    """Finds the inputs an output could start, without comparing it with every input of the bucket.

    Two places share a key iff one's key prefix starts with the other's and one's suffix ends with the other's: the
    longer prefix, anything, and the longer suffix is such a key. So the inputs of a bucket lie sorted by key prefix:
    those that start with the output's are neighbours, those it starts with are found under its own beginnings.
    """

    def __init__(self, services: Sequence[Service], aliases: Aliases) -> None:
        self._aliases = aliases
        unsorted: defaultdict[tuple[str, str], defaultdict[bytes, list[tuple[str, _Keys]]]]
        unsorted = defaultdict(lambda: defaultdict(list))
        for service in services:
            for place in service.input:
                wanted = Wanted.of(place, service.dispatch)
                if not wanted.events & _BY_PUTTING:
                    continue
                keys = _Keys.of(wanted)
                for prefix in keys.prefixes:
                    unsorted[self._bucket(place)][prefix].append((service.name, keys))
        self._buckets = {bucket: dict(sorted(inputs.items())) for bucket, inputs in unsorted.items()}
        self._sorted = {bucket: list(inputs) for bucket, inputs in self._buckets.items()}

    def _bucket(self, place: StorageIO) -> tuple[str, str]:
        return canonical_provider(place.storage_provider, self._aliases), place.bucket

    def started_by(self, outputs: Iterable[StorageIO]) -> set[str]:
        """Return the names of the services that one of the outputs could start."""
        started: set[str] = set()
        for place in outputs:
            inputs, written = self._buckets.get(self._bucket(place), {}), _Keys.of(Wanted.of(place, _UNFILTERED))
            for prefix in written.prefixes:
                for shared in self._compatible(self._bucket(place), prefix):
                    started.update(
                        name for name, keys in inputs[shared] if _both(written.suffixes, keys.suffixes, bytes.endswith)
                    )
        return started

    def _compatible(self, bucket: tuple[str, str], prefix: bytes) -> Iterator[bytes]:
        inputs, ordered = self._buckets.get(bucket, {}), self._sorted.get(bucket, [])
        yield from (prefix[:end] for end in range(len(prefix)) if prefix[:end] in inputs)
        for candidate in ordered[bisect_left(ordered, prefix) :]:
            if not candidate.startswith(prefix):
                return
            yield candidate


def _both(left: Iterable[bytes], right: Iterable[bytes], contains: Callable[[bytes, bytes], bool]) -> tuple[bytes, ...]:
    """Return what begins (or ends) as one of the left and one of the right do: of each such pair the longer."""
    others = tuple(right)
    pairs = ((a, b) if len(a) >= len(b) else (b, a) for a in left for b in others)
    return tuple(dict.fromkeys(longer for longer, shorter in pairs if contains(longer, shorter)))
