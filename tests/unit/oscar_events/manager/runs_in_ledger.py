"""Runs in a ledger without a platform: claimed, begun, ended, by the units the platform uses itself."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from oscar_events import codec
from oscar_events.event import Raw, StorageEvent
from oscar_events.job import FailureClass, Outcome, OutputObject, Report
from oscar_events.ledger import claims, ends, leases, permits, roles
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import Catalogue
from oscar_events.service import RetrySettings

_NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def drop(ledger: Ledger, key: str, bucket: str = "pics") -> None:
    """Have the platform see an object."""
    event = StorageEvent(
        id=f"folder-{bucket}-{key}",
        provider="local.default",
        bucket=bucket,
        key=key.encode(),
        source="folder:pics",
        time=_NOW,
        recorded=_NOW,
        raw=Raw(b"{}"),
        kind="folder",
    )
    sighting = Sighting(event, codec.encode(event).value)
    await ledger.write(lambda connection: claims.claim(connection, Catalogue(), [sighting]))


async def begin(ledger: Ledger, service_uid: str) -> tuple[int, Leased]:
    """Submit the oldest waiting run of a service; return the scheduler's epoch and the lease."""

    def unit(connection: Connection) -> tuple[int, Leased]:
        epoch = roles.take(connection, roles.SCHEDULER, "test", 10_000, at_once=True)
        assert epoch is not None
        [leased] = leases.lease(connection, epoch, [(service_uid, 1)], 60_000)
        assert permits.submit(connection, epoch, leased, "hash")
        return epoch, leased

    return await ledger.write(unit)


async def finish(ledger: Ledger, epoch: int, leased: Leased, *, exit_code: int = 0, log: bytes = b"") -> None:
    """Have a begun run report its end, with one output if it succeeded."""
    report = Report(
        execution=leased.execution,
        attempt=leased.attempt,
        nonce=leased.nonce,
        outcome=Outcome.FAILED if exit_code else Outcome.SUCCEEDED,
        failure=FailureClass.USER if exit_code else None,
        reason=f"the script ended with {exit_code}" if exit_code else "",
        exit_code=exit_code,
        outputs=() if exit_code else (OutputObject(provider="local.default", bucket="pics", key="out/a.png", size=3),),
    )
    ended = ends.AttemptEnd(leased.execution, leased.attempt, leased.nonce, report, "", log)
    await ledger.write(lambda connection: ends.end(connection, epoch, ended, RetrySettings(), 0.5))
