"""What people may ask of dead letters: list them, see why, send them again, purge them.

In:  filters, ids of runs or their beginnings. Out: plain JSON values.
Not here: the units of work (ledger/redrive.py), how fast many are sent (the command line, in steps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from oscar_events.codec import decode, iso
from oscar_events.errors import ConfigurationError, EventError
from oscar_events.job import FailureClass
from oscar_events.ledger import redrive, runs
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.redrive import Filters
from oscar_events.paths import printable

# What one request may send or purge, in one transaction: 2 s of it on a busy PostgreSQL (10 ms each, measured), of the
# 15 s that a unit may take.
MAX_STEP = 200


class DeadLetters:
    """The dead letters of a platform. wake: told when there is something for the scheduler to do at once."""

    def __init__(self, ledger: Ledger, wake: Callable[[], None]) -> None:
        self._ledger, self._wake = ledger, wake

    async def page(
        self,
        *,
        service: str | None = None,
        failure: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return dead letters as runs, newest first. since: that ended then or later. before: the last one seen.

        Raises ConfigurationError for a failure class that is none, NotFoundError for `before`.
        """
        filters = Filters(service, _failure(failure), None if since is None else int(since.timestamp() * 1000))
        return await self._ledger.read(lambda connection: redrive.page(connection, filters, limit, before))

    async def show(self, run: str) -> dict[str, Any]:
        """Return a dead run with its event, its attempts and the tails of their logs.

        refused: why it cannot be sent again, empty if it can. Raises NotFoundError, ConflictError if it is not dead.
        """
        found = await self._ledger.read(lambda connection: redrive.show(connection, run))
        envelope = found.pop("envelope")
        attempts = [
            {**one, "ended_at": _time(one["ended_at"]), "log_tail": one["log_tail"].decode("utf-8", "replace")}
            for one in found["attempts"]
        ]
        return {**found, "attempts": attempts, "event": None if envelope is None else _event(envelope)}

    async def redrive(self, ids: Sequence[str], *, same_revision: bool = False) -> list[dict[str, Any]]:
        """Send dead letters again, all in one step; return id, verdict (done, already, refused), reason, run of each.

        Raises NotFoundError if one of the ids is no run's, ConfigurationError if there are too many for one step.
        """

        def unit(connection: Connection) -> list[dict[str, Any]]:
            return redrive.redrive(connection, _found(connection, ids), same_revision=same_revision)

        answers = await self._ledger.write(unit)
        self._wake()
        return answers

    async def purge(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Give dead letters up, all in one step; return id, verdict and reason of each. Raises as `redrive`."""
        return await self._ledger.write(lambda connection: redrive.purge(connection, _found(connection, ids)))


def _found(connection: Connection, ids: Sequence[str]) -> list[str]:
    if len(ids) > MAX_STEP:
        raise ConfigurationError(f"{len(ids)} runs in one step; {MAX_STEP} at most")
    return [runs.find(connection, run) for run in ids]


def _failure(name: str | None) -> FailureClass | None:
    if name is None:
        return None
    if name not in set(FailureClass):
        raise ConfigurationError(f"{name!r} is no class of failure; one of {', '.join(FailureClass)}")
    return FailureClass(name)


def _event(envelope: bytes) -> dict[str, Any]:
    """Return what is known of the event; what an older version wrote and this one cannot read is told so."""
    try:
        event = decode(envelope)
    except EventError as error:
        return {"unreadable": str(error)}
    return {
        "id": event.id,
        "source": event.source,
        "adapter": event.adapter,
        "action": event.action.value,
        "bucket": event.bucket,
        "key": printable(event.key),
        "size": event.size,
        "time": iso(event.time),
        "recorded": iso(event.recorded),
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
