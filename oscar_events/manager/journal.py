"""What people may ask of the past: why an object did or did not run, which events there were.

In:  the ledger, the log of events, the folders. Out: plain JSON values.
Not here: what follows from what is found (why.py, pure), going through the log (event_log.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from sqlalchemy import Connection

from oscar_events.bus.port import EVENTS, QUARANTINE, Bus, Delivery
from oscar_events.codec import decode, iso
from oscar_events.config import PlatformConfig
from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.errors import ConfigurationError, EventError
from oscar_events.event import DEFAULT_TENANT, StorageEvent
from oscar_events.identity import message_source, object_source, partition_key
from oscar_events.ledger import objects, settled
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import stored_positions
from oscar_events.ledger.services import Catalogue, StoredService
from oscar_events.manager import event_log
from oscar_events.manager.event_log import Filters
from oscar_events.manager.local_objects import Objects
from oscar_events.manager.log_extent import extent
from oscar_events.manager.why import Arrival, Known, Told, advice, explained_events, explained_services
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.matching.wanted import below_folder
from oscar_events.paths import is_hidden, printable
from oscar_events.quarantine import refused_in

# Runs that are read for one object: of one that is written all day, the newest say enough.
_MAX_RUNS = 50
# Tellings of one object that are read from the log, per provider; of the same reason.
_MAX_TOLD = 200
# Quarantined messages that are searched for the object's name, in steps of a few megabytes (256 KiB each at most).
_MAX_QUARANTINED, _QUARANTINE_STEP = 1000, 32


class Journal:
    """The past of a platform. config: what config.yaml says at the moment. is_running: whether events are taken now."""

    def __init__(
        self,
        ledger: Ledger,
        bus: Bus,
        files: Objects,
        aliases: Aliases,
        config: Callable[[], PlatformConfig],
        *,
        is_running: bool,
    ) -> None:
        self._ledger, self._bus, self._files = ledger, bus, files
        self._aliases, self._config, self._is_running = aliases, config, is_running
        self._catalogue = Catalogue(aliases)  # used by the ledger's one reader only

    async def why(
        self, bucket: str, key: bytes, *, since: datetime, provider: str | None = None, limit: int = 10
    ) -> dict[str, Any]:
        """Return what came of an object: its newest events with the verdict of each service, or what to look at.

        since: how far back the log is searched for events that started nothing; runs are found however old they are.
        provider: only its events. limit: events.
        """
        config, problem = self._configured()
        read = await self._ledger.read(lambda connection: self._read(connection, bucket, key))
        providers = _candidates(read.services, config, self._aliases) if provider is None else [provider]
        told = await self._told(read, bucket, key, providers, since)
        log = await extent(self._bus, 0)  # only where it begins: to find the time in it would read through it
        if provider is not None:
            wanted = {provider, canonical_provider(provider, self._aliases)}
            told = [one for one in told if one.event is None or one.event.provider in wanted]
        here = provider or _likely(told, read.services, bucket, self._aliases)
        known = Known(
            DEFAULT_TENANT, bucket, key, here, told[:limit], read.runs, read.services, self._aliases, self._is_running
        )
        is_message = any(one.event is not None and not one.event.has_object for one in told[:1])
        is_local = canonical_provider(here, self._aliases) == LOCAL_PROVIDER and not is_message
        # A remote object's name may be that of a local file, slightly mistyped: whoever asks may mean that.
        may_be_file = is_local or (not told and provider is None and self._files.has(bucket))
        state = self._files.look(bucket, key) if may_be_file else None
        size = state.size if state is not None and is_local else None
        answer = {
            "bucket": bucket,
            "key": printable(key),
            "provider": here,
            "since": iso(since),
            "log": "" if log.reaches(int(since.timestamp() * 1000)) else log.begins(),
            "object": None if state is None or not is_local else state.view(),
            "events": explained_events(known),
            "more_events": max(len(told) - limit, 0),
            "has_platform": self._is_running,
            **await self._quarantined(key, since),
            "problem": problem,
            "advice": [],
            "result_of": None,
        }
        if not told:
            writers = _writers(read.services, bucket, key)
            name = f"{bucket}/{printable(key)}"
            answer["result_of"] = await self._ledger.read(lambda c: objects.written_by(c, name, writers))
            speaking = [name for name, one in config.sources.items() if one.route.provider == here]
            answer["advice"] = advice(known, state, is_hidden(key), speaking)
            if bucket in config.sources:
                answer["advice"].insert(0, f"{bucket} is a source: no message with the id {printable(key)} came by it")
            answer |= explained_services(known, size)
        return answer

    async def events(
        self,
        *,
        limit: int,
        bucket: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """Return the newest events, or those after a place in the log, oldest first, each with the runs it started.

        after: the `next` of the answer before. is_cut: there may be more that match, further back than was looked.
        Raises ConfigurationError for a place that is none.
        """
        filters = Filters(bucket, source, None if since is None else int(since.timestamp() * 1000))
        if after is None:
            page = await event_log.newest(self._bus, filters, limit)
        else:
            page = await event_log.following(self._bus, filters, after, limit)
        topic = await self._bus.topic_id(EVENTS)
        ids = [row["id"] for row in page.rows if row["id"] is not None]

        def unit(connection: Connection) -> tuple[dict[str, list[dict[str, Any]]], dict[int, int]]:
            return objects.started_by(connection, ids), stored_positions(connection, topic)

        runs, positions = await self._ledger.read(unit)
        rows = [
            {
                **row,
                "runs": runs.get(row["id"] or "", []),
                "is_waiting": row["offset"] >= positions.get(row["partition"], 0),
            }
            for row in page.rows
        ]
        return {"events": rows, "next": page.cursor, "is_cut": page.is_cut}

    def _configured(self) -> tuple[PlatformConfig, str]:
        """Return what is configured, and why that could not be read: it costs the answer its sources only."""
        try:
            return self._config(), ""
        except ConfigurationError as error:
            return PlatformConfig(), str(error)

    def _read(self, connection: Connection, bucket: str, key: bytes) -> _Read:
        self._catalogue.refresh(connection)
        services = [one for one in self._catalogue.services.values() if one.tenant == DEFAULT_TENANT]
        runs = objects.runs_of(connection, bucket, key, _MAX_RUNS, has_platform=self._is_running)
        return _Read(services, runs, objects.envelopes(connection, {run["event_id"] for run in runs}))

    async def _told(
        self, read: _Read, bucket: str, key: bytes, providers: Iterable[str], since: datetime
    ) -> list[Told]:
        """Return the events of an object, newest first."""
        sources = dict.fromkeys([*(object_source(one, bucket) for one in providers), message_source(bucket)])
        since_ms = int(since.timestamp() * 1000)
        topic = await self._bus.topic_id(EVENTS)
        positions = await self._ledger.read(lambda connection: stored_positions(connection, topic))
        told: dict[str, Told] = {}
        for source in sources:
            name = partition_key(source, key).encode()
            for delivery in await self._bus.find(EVENTS, name, since_ms, _MAX_TOLD):
                _add(told, delivery, bucket, key, positions)
        for run in read.runs:
            _add_from_ledger(told, run["event_id"], read.envelopes.get(run["event_id"]))
        return sorted(told.values(), key=_last_seen, reverse=True)

    async def _quarantined(self, key: bytes, since: datetime) -> dict[str, Any]:
        """Return the ids of quarantined messages that mention the key, and how many older ones were not searched.

        Those are counted from the oldest on if one of them may be as late as `since`, else 0.
        """
        spellings = {key, quote_plus(key).encode(), quote_plus(key, safe="/").encode()}
        topic = await self._bus.topic_id(QUARANTINE)
        since_ms = int(since.timestamp() * 1000)
        found: list[str] = []
        unsearched = 0
        partitions = await self._bus.partitions(QUARANTINE)
        left = _MAX_QUARANTINED // len(partitions)
        for partition in partitions:
            first, end = await self._bus.offsets(partition)
            start = begin = max(first, end - left)
            while start < end:
                records = await self._bus.read({partition: start}, min(_QUARANTINE_STEP, end - start))
                if not records:
                    break
                if start == begin and records[0].record.timestamp_ms >= since_ms:
                    unsearched += begin - first
                recent = [one for one in records if one.record.timestamp_ms >= since_ms]
                hits = [one.offset for one in recent if _mentions(one, spellings)]
                done = await self._ledger.read(_settled(topic, partition.number, start, end)) if hits else {}
                found += [f"{partition.number}-{offset}" for offset in hits if offset not in done]
                start = records[-1].offset + 1
        return {"quarantined": found, "quarantine_unsearched": unsearched}


@dataclass(frozen=True, slots=True)
class _Read:
    """What one look in the ledger found."""

    services: Sequence[StoredService]
    runs: Sequence[Mapping[str, Any]]
    envelopes: Mapping[str, bytes]


def _candidates(services: Iterable[StoredService], config: PlatformConfig, aliases: Aliases) -> list[str]:
    """Return every provider that an event of the bucket may have been told of."""
    named = [place.storage_provider for stored in services for place in stored.service.input]
    by_sources = [source.route.provider for source in config.sources.values()]
    every = [LOCAL_PROVIDER, *aliases, *config.providers(), *by_sources, *named]
    return list(dict.fromkeys([*every, *(canonical_provider(one, aliases) for one in every)]))


def _writers(services: Iterable[StoredService], bucket: str, key: bytes) -> list[str]:
    """Return the services whose results may have this name."""
    return sorted(
        {
            stored.service.name
            for stored in services
            for place in stored.service.output
            if place.bucket == bucket and below_folder(key, place.folder.encode()) is not None
        }
    )


def _likely(told: Sequence[Told], services: Iterable[StoredService], bucket: str, aliases: Aliases) -> str:
    """Return the provider that is most likely meant: of the newest event, else of the inputs on this bucket."""
    for one in told:
        if one.event is not None:
            return one.event.provider
    named = {place.storage_provider for stored in services for place in stored.service.input if place.bucket == bucket}
    canonical = sorted(canonical_provider(one, aliases) for one in named)
    return LOCAL_PROVIDER if not canonical or LOCAL_PROVIDER in canonical else canonical[0]


def _add(told: dict[str, Told], delivery: Delivery, bucket: str, key: bytes, positions: Mapping[int, int]) -> None:
    try:
        event = decode(delivery.record.value)
    except EventError:
        return  # intake has put it in quarantine, where it is searched for too
    if (event.bucket, event.key) != (bucket, key):
        return  # a hash of 64 bits was the same
    before = told.get(event.id)
    # Waiting is what no telling of it was read of: one is enough to start all that there is.
    is_waiting = delivery.offset >= positions.get(delivery.partition.number, 0) and (
        before is None or before.is_waiting
    )
    arrivals = (*(before.arrivals if before else ()), _arrival(event))
    told[event.id] = Told(event.id, before.event if before else event, arrivals, is_waiting)


def _add_from_ledger(told: dict[str, Told], identity: str, envelope: bytes | None) -> None:
    if identity in told:
        return
    try:
        event = None if envelope is None else decode(envelope)
    except EventError:  # an older version's
        event = None
    told[identity] = Told(identity, event, () if event is None else (_arrival(event),))


def _arrival(event: StorageEvent) -> Arrival:
    return Arrival(event.recorded, event.adapter, event.reason)


def _last_seen(told: Told) -> tuple[float, str]:
    return max((one.time.timestamp() for one in told.arrivals), default=0.0), told.identity


def _mentions(delivery: Delivery, spellings: Iterable[bytes]) -> bool:
    try:
        body = refused_in(delivery.record.value).body
    except EventError:
        return False
    return any(spelling in body for spelling in spellings)


def _settled(topic: str, partition: int, first: int, end: int) -> Callable[[Connection], Mapping[int, object]]:
    return lambda connection: settled.settled(connection, topic, partition, first, end)
