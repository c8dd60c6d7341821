"""What people may ask of the platform: apply, list, show, delete services; list, show, cancel runs; read their logs.

In:  an open ledger. Out: plain JSON values, the same for the command line, the HTTP front and scripts.
Not here: how the question arrived (app.py, the command line), who carries a cancel out (the dispatcher).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from oscar_events.codec import iso
from oscar_events.errors import ConfigurationError, NotFoundError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.execution import State
from oscar_events.fdl import read_service
from oscar_events.ledger import ends, runs, services
from oscar_events.ledger.services import StoredService
from oscar_events.ledger.store import Ledger
from oscar_events.manager.buckets import Buckets
from oscar_events.service import Service, StorageIO


async def nobody_runs(execution: str, attempt: int) -> bytes | None:
    """Say that no run is running: the `log_of_running` of a ledger whose platform is down."""
    return None


class Control:
    """The platform, as far as people may ask.

    note: what everybody must know about how runs are run here, empty if nothing.
    wake: told when there is something for the scheduler to do at once.
    log_of_running: what a running attempt has printed so far, None if it is not running.
    """

    def __init__(
        self,
        ledger: Ledger,
        buckets: Buckets,
        note: str = "",
        wake: Callable[[], None] = lambda: None,
        log_of_running: Callable[[str, int], Awaitable[bytes | None]] = nobody_runs,
    ) -> None:
        self._ledger, self._buckets, self._note = ledger, buckets, note
        self._wake, self._log_of_running = wake, log_of_running

    async def apply(self, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Create or update the services, all or none; return name, uid, revision, change and warnings of each.

        Raises ServiceError, ConfigurationError.
        """
        since = self._buckets.time()  # before the transaction: an object that arrives from now on will be found
        loaded = [read_service(document) for document in documents]
        notes = [self._note] if self._note else []
        warnings = [[*one.warnings, *self._buckets.check(one.service), *notes] for one in loaded]
        for one in loaded:
            self._buckets.make(one.service)

        def unit(connection: Connection) -> list[services.Applied]:
            aliases = self._buckets.aliases
            return [services.apply(connection, DEFAULT_TENANT, one.service, since, aliases) for one in loaded]

        applied = await self._ledger.write(unit)
        return [
            {
                "name": one.service.name,
                "uid": done.uid,
                "revision": done.revision,
                "change": done.change,
                "warnings": told,
            }
            for one, done, told in zip(loaded, applied, warnings, strict=True)
        ]

    async def services(self) -> list[dict[str, Any]]:
        """Return the services, by name."""
        return [_summary(stored) for stored in await self._ledger.read(services.active)]

    async def service(self, name: str) -> dict[str, Any]:
        """Return one service with its whole definition. Raises NotFoundError."""
        for stored in await self._ledger.read(services.active):
            if stored.service.name == name:
                return {**_summary(stored), "definition": stored.service.document()}
        raise NotFoundError(f"there is no service {name!r}")

    async def delete_service(self, name: str, *, kill: bool = False) -> dict[str, Any]:
        """End a service; its waiting runs are cancelled, with kill the running ones too. Raises NotFoundError.

        Return the runs that are cancelled or asked to be, and those that go on.
        """

        def unit(connection: Connection) -> dict[str, Any]:
            uid = services.end(connection, DEFAULT_TENANT, name)
            cancelled = list(ends.cancel_service(connection, uid, running_too=kill))
            running = [run for run in ends.live(connection, uid) if run not in cancelled]
            return {"name": name, "uid": uid, "cancelled": cancelled, "running": running}

        ended = await self._ledger.write(unit)
        self._wake()
        return ended

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
        """Return a run with its attempts, and the note. run: its id or the beginning of it. Raises NotFoundError."""
        return {**await self._ledger.read(lambda connection: runs.show(connection, run)), "note": self._note}

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

        Empty if it has not started. Raises NotFoundError.
        """
        execution, number, log = await self._recorded_log(run, attempt)
        if log is None:
            log = await self._log_of_running(execution, number)
        if log is None:  # it ended between the two looks
            *_, log = await self._recorded_log(execution, number)
        return log or b""

    async def _recorded_log(self, run: str, attempt: int | None) -> tuple[str, int, bytes | None]:
        return await self._ledger.read(lambda connection: runs.log(connection, run, attempt))


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
        "created_at": _time(stored.created_at),
        "updated_at": _time(stored.updated_at),
    }


def _place(place: StorageIO) -> dict[str, Any]:
    return {"storage_provider": place.storage_provider, "path": place.path}


def _time(milliseconds: int) -> str:
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
