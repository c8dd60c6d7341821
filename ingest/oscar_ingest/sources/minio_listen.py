"""The source that asks MinIO to tell: ListenBucketNotification, for every bucket that services take inputs from.

In:  a route, the provider's settings, which buckets are wanted at the moment. Out: events, and a listing asked for
whenever some may have been missed.
Not here: which buckets are wanted (oscar_ingest/listened.py), what the records mean (oscar_events/notifications).

Nothing has to be set up at the server, and nothing is kept there: MinIO tells who is connected, once, and drops what a
slow reader does not take (its `Publish` never waits). So this source is at most once, and every connection, and every
time it could not keep up, asks for a listing: after the server has taken the subscription, so that no gap is between.
The head of MinIO's answer comes with its first blank, half a second after it took the subscription at most.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import urlsplit

import aiohttp
from miniopy_async.api import Minio
from miniopy_async.datatypes import AsyncEventIterable

from oscar_events.errors import OscarEventsError, UnavailableError
from oscar_events.event import Action
from oscar_events.log import logger
from oscar_events.minio_client import SILENCE_S, minio_client, telling
from oscar_events.notifications.minio import event_names, webhook_bodies
from oscar_events.notifications.port import Notification, Route
from oscar_ingest.sources.listeners import Listener
from oscar_ingest.sources.normalised import count, normalised
from oscar_ingest.sources.port import Sink

_log = logger(__name__)

Wanted = Callable[[], Awaitable[Mapping[str, frozenset[Action]]]]
# Seen on the last community release; its forks have mended it (search `trackingResponseWriter Flush`).
_NEVER_FLUSHED = (
    f"no answer within {SILENCE_S:g} s; MinIO releases since minio/minio#21651 (October 2025) keep back what they tell "
    "on listening connections: use a webhook (`oscar-events buckets watch`), or a server that has it mended"
)
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class ListenPace:
    """How often it looks and tries again, all in seconds.

    look: between two looks at which buckets are wanted, which reads one row: what is uploaded within it after an apply
        is found by the listing that each connection asks for.
    first_wait, longest_wait: before a connection is tried again: a server that restarts is back in a second, and half a
        minute is what people wait for a bucket they have just made.
    say_again: between two lines about one bucket that still cannot be listened to.
    keeps_up: so long a full buffer may hold up reading; the server's own holds a second of a thousand uploads.
    """

    look: float = 1.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    say_again: float = 60.0
    keeps_up: float = 1.0


class MinioListen(Listener):
    """All wanted buckets of one MinIO, a connection each. One that fails holds up no other."""

    def __init__(
        self,
        route: Route,
        settings: Mapping[str, str],
        wanted: Wanted,
        pace: ListenPace = ListenPace(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self._route, self._settings, self._wanted, self._pace, self._now = route, settings, wanted, pace, now
        self._listeners: dict[str, _Bucket] = {}

    @property
    def trouble(self) -> str:
        """Why some buckets are not listened to at the moment; empty if all are."""
        return "; ".join(listener.trouble for listener in self._listeners.values() if listener.trouble)

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        """Listen until cancelled. `ready` once each bucket wanted at first was tried: one that fails is listed later.

        Raises ConfigurationError for an endpoint that is none; whatever the server says ends nothing.
        """
        self._listeners = {}
        async with minio_client(self._settings) as client, asyncio.TaskGroup() as tasks:
            while True:
                wanted = await self._look()
                for bucket in [name for name, one in self._listeners.items() if wanted.get(name) != one.actions]:
                    self._listeners.pop(bucket).stop()
                for bucket in wanted.keys() - self._listeners.keys():
                    listener = _Bucket(client, self._host(), bucket, wanted[bucket], self._route, self._pace, self._now)
                    self._listeners[bucket] = listener
                    listener.start(tasks, sink, on_gap)
                if not self.ready.is_set():
                    await asyncio.gather(*(listener.tried.wait() for listener in self._listeners.values()))
                    self.ready.set()
                await asyncio.sleep(self._pace.look)

    async def _look(self) -> Mapping[str, frozenset[Action]]:
        """Return bucket -> actions that MinIO can tell of; those of before while nobody knows."""
        try:
            wanted = await self._wanted()
        except UnavailableError as error:
            _log.warning("which buckets to listen to is not known", source=self._route.source, error=str(error))
            return {bucket: listener.actions for bucket, listener in self._listeners.items()}
        return {bucket: actions for bucket, actions in wanted.items() if event_names(actions)}

    def _host(self) -> str:
        return urlsplit(self._settings.get("endpoint", "")).netloc


class _Bucket:
    """One bucket. tried: set once it is listened to, or has failed for the first time. trouble: why it is not."""

    def __init__(
        self,
        client: Minio,
        host: str,
        bucket: str,
        actions: frozenset[Action],
        route: Route,
        pace: ListenPace,
        now: Callable[[], datetime],
    ) -> None:
        self.actions, self.tried, self.trouble = actions, asyncio.Event(), ""
        self._client, self._bucket, self._route, self._pace, self._now = client, bucket, route, pace, now
        self._doing = f"source {route.source}: listening to bucket {bucket} at {host}"
        self._said_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup, sink: Sink, on_gap: Callable[[], None]) -> None:
        """Listen from now on, as a task of the group."""
        self._task = tasks.create_task(self._run(sink, on_gap), name=f"{self._route.source}, bucket {self._bucket}")

    def stop(self) -> None:
        """Listen no more."""
        assert self._task is not None
        self._task.cancel()

    async def _run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        wait = self._pace.first_wait
        while True:
            try:
                await self._listen(sink, on_gap)
            except OscarEventsError as error:
                if not self.trouble:  # it was connected: what comes now is the first try since
                    wait = self._pace.first_wait
                self._say(str(error))
            self.tried.set()
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            wait = min(wait * 2, self._pace.longest_wait)

    async def _listen(self, sink: Sink, on_gap: Callable[[], None]) -> NoReturn:
        """Listen as long as the connection lasts. Raises what `telling` does, UnavailableError at its end."""
        with telling(self._doing, "s3:ListenBucketNotification"):
            try:
                events = await self._client.listen_bucket_notification(self._bucket, events=event_names(self.actions))
            except aiohttp.SocketTimeoutError as error:  # it took the connection, and does not answer
                raise UnavailableError(f"{self._doing}: {_NEVER_FLUSHED}") from error
        async with events:
            if self.trouble:
                _log.info("a bucket is listened to again", source=self._route.source, bucket=self._bucket)
            self.trouble, self._said_at = "", float("-inf")
            on_gap()
            self.tried.set()
            while True:
                document = await self._next(events)
                began = asyncio.get_running_loop().time()
                await self._take(document, sink)
                if asyncio.get_running_loop().time() - began > self._pace.keeps_up:
                    on_gap()

    async def _next(self, events: AsyncEventIterable) -> object:
        """Return what MinIO tells next. Raises UnavailableError once the connection has ended."""
        with telling(self._doing, "s3:ListenBucketNotification"):
            try:
                document = await anext(events, None)
            except ValueError as error:  # cut off in the middle of a line, or a line of blanks that grew too long
                raise UnavailableError(f"{self._doing}: the connection broke off") from error
        if document is None:
            raise UnavailableError(f"{self._doing}: the server ended the connection")
        return document

    async def _take(self, document: object, sink: Sink) -> None:
        for body in webhook_bodies(document):
            # Random as a UUID, though nothing of MinIO's lacks an identity of its own.
            notification = Notification(body, _JSON, self._now(), f"{random.getrandbits(128):032x}")
            found = normalised(notification, self._route)
            count(self._route.source, found)
            for event in found.events:
                await sink.put(event)
            for refusal in found.refused:
                await sink.refuse(refusal.body, self._route.source, refusal.reason)

    def _say(self, why: str) -> None:
        """Tell why the bucket is not listened to: at once, and from time to time while that stays so."""
        self.trouble, now = why, asyncio.get_running_loop().time()
        if now - self._said_at >= self._pace.say_again:
            self._said_at = now
            _log.error("a bucket is not listened to; a listing finds what is missed", error=why)
