"""What people may ask of the platform: apply, list, show, delete services; list, show, cancel runs; read their logs.

In:  an open ledger. Out: plain JSON values, the same for the command line, the HTTP front and scripts.
Not here: how the question arrived (app.py, the command line), who carries a cancel out (the dispatcher).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from oscar_events.bus.port import Bus
from oscar_events.codec import iso
from oscar_events.config import PlatformConfig
from oscar_events.errors import ConfigurationError, NotFoundError, ServiceError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.execution import State
from oscar_events.ledger import ends, runs, services, waiting
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import StoredService
from oscar_events.manager.applying import Applying
from oscar_events.manager.backfill import Backfills, Listings
from oscar_events.manager.buckets import Buckets
from oscar_events.manager.deadletters import DeadLetters
from oscar_events.manager.journal import Journal
from oscar_events.manager.local_objects import Objects
from oscar_events.manager.quarantine import Quarantine
from oscar_events.manager.replays import Replays
from oscar_events.secrets import SecretStore, masked
from oscar_events.service import Service, StorageIO


async def nobody_runs(execution: str, attempt: int) -> bytes | None:
    """Say that no run is running: the `log_of_running` of a ledger whose platform is down."""
    return None


class Control:
    """The platform, as far as people may ask: services and runs here, the rest by its parts.

    config: what config.yaml says at the moment. files: the local store, to look at.
    note: what everybody must know about how runs are run here, empty if nothing.
    wake: told when there is something for the scheduler to do at once.
    log_of_running: what a running attempt has printed so far, None if it is not running.
    is_running: whether a platform is behind this, or only its files.
    listings: of the stores there are, made when a backfill needs them.
    """

    def __init__(
        self,
        ledger: Ledger,
        bus: Bus,
        buckets: Buckets,
        secrets: SecretStore,
        config: Callable[[], PlatformConfig],
        files: Objects,
        note: str = "",
        wake: Callable[[], None] = lambda: None,
        log_of_running: Callable[[str, int], Awaitable[bytes | None]] = nobody_runs,
        *,
        is_running: bool = False,
        listings: Listings = tuple,
    ) -> None:
        self._ledger, self._buckets, self._note = ledger, buckets, note
        self._applying = Applying(ledger, buckets, secrets, note)
        self.deadletters = DeadLetters(ledger, wake)
        self.quarantine = Quarantine(ledger, bus, config)
        self.replays = Replays(ledger, bus, buckets.aliases, wake)
        self.backfills = Backfills(ledger, buckets.aliases, listings, lambda: config().settings.retention, wake)
        self._is_running = is_running
        self.journal = Journal(ledger, bus, files, buckets.aliases, config, is_running=is_running)
        self._wake, self._log_of_running = wake, log_of_running

    async def apply(
        self, documents: Sequence[Mapping[str, Any]], remarks: Mapping[str, Sequence[str]] | None = None
    ) -> list[dict[str, Any]]:
        """Create or update the services, all or none; return name, uid, revision, change and warnings of each.

        remarks: by a service's name, what its author was told of the file it comes from; kept, to be shown again.
        Raises ServiceError, ConfigurationError.
        """
        return await self._applying.apply(documents, remarks or {})

    async def services(self) -> list[dict[str, Any]]:
        """Return the services, by name."""
        return [_summary(stored) for stored in await self._ledger.read(services.active)]

    async def service(self, name: str) -> dict[str, Any]:
        """Return one service with its whole definition and what `apply` warned of. Raises NotFoundError."""
        for stored in await self._ledger.read(services.active):
            if stored.service.name == name:
                definition = masked(stored.service.document())
                return {**_summary(stored), "warnings": self._warnings(stored), "definition": definition}
        raise NotFoundError(f"there is no service {name!r}")

    async def delete_service(self, name: str, *, kill: bool = False) -> dict[str, Any]:
        """End a service; its waiting runs are cancelled, with kill the running ones too. Raises NotFoundError.

        Return the runs that are cancelled or asked to be, and those that go on.
        """

        def unit(connection: Connection) -> tuple[str, list[str]]:
            uid = services.end(connection, DEFAULT_TENANT, name)
            return uid, ends.cancel_service(connection, uid, running_too=kill)

        uid, cancelled = await self._ledger.write(unit)
        self._wake()
        # If this is interrupted, the scheduler cancels what still waits when its turn comes; nothing of it starts.
        while some := await self._ledger.write(lambda c: ends.cancel_service(c, uid, running_too=kill)):
            cancelled += some
            self._wake()
        concerned = frozenset(cancelled)
        live = await self._ledger.read(lambda c: ends.live(c, uid))
        await self.forget_secrets()
        running = [run for run in live if run not in concerned]
        return {"name": name, "uid": uid, "cancelled": cancelled, "running": running}

    async def forget_secrets(self) -> None:
        """Remove the secrets of services that were deleted and run no more."""
        await self._applying.forget_secrets()

    async def runs(
        self,
        *,
        service: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return runs, newest first. before: the last one of the page before. Raises NotFoundError for that."""
        if state is not None and state not in set(State):
            raise ConfigurationError(f"{state!r} is no state of a run; one of {', '.join(State)}")
        return await self._ledger.read(
            lambda connection: runs.page(connection, service=service, state=state, limit=limit, before=before)
        )

    async def run(self, run: str) -> dict[str, Any]:
        """Return a run with its attempts and the note; `waits`: what for, if it is pending.

        run: its id or the beginning of it. Raises NotFoundError.
        """

        def unit(connection: Connection) -> dict[str, Any]:
            found = runs.show(connection, run)
            waits = waiting.waits(connection, found["id"], has_platform=self._is_running)
            return {**found, "waits": waits, "note": self._note}

        return await self._ledger.read(unit)

    async def cancel(self, run: str) -> dict[str, Any]:
        """Cancel a run, or request it if something of it may be running; return the run.

        What had published its results before the kill reached it has succeeded. Raises NotFoundError, ConflictError.
        """

        def unit(connection: Connection) -> dict[str, Any]:
            execution = runs.find(connection, run)
            ends.cancel(connection, execution, "cancelled by a person")
            return runs.show(connection, execution)

        cancelled = await self._ledger.write(unit)
        self._wake()
        return {**cancelled, "note": self._note}

    async def log(self, run: str, attempt: int | None = None) -> bytes:
        """Return what an attempt of a run printed, head and tail. attempt: the newest unless given.

        Empty if it has not started. Raises NotFoundError; NotYetError where only an ended attempt's log can be had.
        """
        execution, number, log, state = await self._recorded_log(run, attempt)
        if log is None and not state.is_terminal:
            log = await self._log_of_running(execution, number)
        if log is None:  # it ended between the two looks
            _, _, log, _ = await self._recorded_log(execution, attempt)
        return log or b""

    def _warnings(self, stored: StoredService) -> list[str]:
        try:
            of_storage = self._buckets.check(stored.service)
        except ServiceError as error:  # a provider of config.yaml that was taken away since
            of_storage = [str(error)]
        return [*stored.remarks, *of_storage, *self._applying.notes(stored.service)]

    async def _recorded_log(self, run: str, attempt: int | None) -> tuple[str, int, bytes | None, State]:
        def unit(connection: Connection) -> tuple[str, int, bytes | None, State]:
            execution, number, log = runs.log(connection, run, attempt)
            return execution, number, log, runs.state(connection, execution)

        return await self._ledger.read(unit)


def _summary(stored: StoredService) -> dict[str, Any]:
    service: Service = stored.service
    return {
        "name": service.name,
        "tenant": stored.tenant,
        "uid": stored.uid,
        "revision": stored.revision,
        "image": service.image,
        "input": [_place(place) for place in service.input],
        "output": [_place(place) for place in service.output],
        "event_types": list(service.dispatch.event_types),
        "created_at": _time(stored.created_at),
        "updated_at": _time(stored.updated_at),
    }


def _place(place: StorageIO) -> dict[str, Any]:
    return {"storage_provider": place.storage_provider, "path": place.path}


def _time(milliseconds: int) -> str:
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
