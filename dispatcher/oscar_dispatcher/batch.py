"""One batch of records into the ledger: each is claimed, or refused with a reason; never is one passed over.

In:  deliveries in offset order per partition, somebody who keeps what is refused. Out: how far each partition is done.
Not here: getting batches and committing offsets (intake.py), keeping what is refused (held.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from oscar_events import codec
from oscar_events.bus.port import Delivery, Partition
from oscar_events.errors import EventError
from oscar_events.ledger import claims
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.refusal import refuses_values, what_was_said
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.progress import Progress

_log = logger(__name__)


@dataclass(slots=True)
class Reading:
    """A record, and what it is. reason: why no run can come of it, empty if one can. is_kept: in quarantine."""

    delivery: Delivery
    sighting: Sighting | None
    reason: str = ""
    is_kept: bool = False


# Keeps what is refused and marks each that is kept; what it does not mark cannot be kept now.
Keep = Callable[[Sequence[Reading]], Awaitable[None]]


class Claimer:
    """Claims batches. wake: called after a commit that made work. progress: of intake, which waits for the ledger."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, wake: Callable[[], None], progress: Progress) -> None:
        self._ledger, self._catalogue, self._wake, self._progress = ledger, catalogue, wake, progress

    async def claim(
        self, topic_id: str, deliveries: Iterable[Delivery], stored: Mapping[Partition, int], keep: Keep
    ) -> dict[Partition, int]:
        """Claim the batch; return the next offset per partition, once all before it is in the ledger or kept.

        stored: the positions that the ledger is known to have. A partition is not done beyond a record that can be
        neither. Outages of the ledger are waited out. Raises LedgerForgotError.
        """
        readings = [_read(delivery) for delivery in deliveries]
        while True:
            refused = [one for one in readings if one.reason and not one.is_kept]
            if refused:
                await keep(refused)
                readings = _before(readings, (one for one in refused if not one.is_kept))
            done = {one.delivery.partition: one.delivery.offset + 1 for one in readings}
            read = [Position(topic_id, one.number, offset, stored.get(one)) for one, offset in done.items()]
            if not done or await self._claimed(readings, read):
                return done

    async def _claimed(self, readings: Sequence[Reading], read: Sequence[Position]) -> bool:
        """Claim all in one transaction; False if the database refused some, which then have a reason."""
        usable = [one for one in readings if one.sighting is not None and not one.reason]
        try:
            await self._write(usable, read)
        except Exception as error:
            if not refuses_values(error):
                raise
            await self._find_refused(usable, error)
            if not any(one.reason for one in usable):
                raise  # not for the sake of any one of them
            return False
        return True

    async def _find_refused(self, readings: Sequence[Reading], error: Exception) -> None:
        """Claim by halves what the database takes, and give what it refuses by itself a reason."""
        if len(readings) == 1:
            said = what_was_said(error)
            _log.error("the database refuses an event", error=said)
            readings[0].reason = f"the database refuses it: {said}"
            return
        half = len(readings) // 2
        for some in (readings[:half], readings[half:]):
            try:
                await self._write(some, [])
            except Exception as of_some:
                if not refuses_values(of_some):
                    raise
                await self._find_refused(some, of_some)

    async def _write(self, readings: Sequence[Reading], read: Sequence[Position]) -> None:
        sightings = [one.sighting for one in readings if one.sighting is not None]
        uids = await self._progress.patiently(
            lambda: self._ledger.write(lambda connection: claims.claim(connection, self._catalogue, sightings, read)),
            "claiming events",
        )
        if uids:
            self._wake()


def is_event(delivery: Delivery) -> bool:
    """Return whether a record can be read as an event; the ledger may refuse it all the same."""
    return not _read(delivery).reason


def _read(delivery: Delivery) -> Reading:
    value = delivery.record.value
    try:
        return Reading(delivery, Sighting(codec.decode(value), value))
    except EventError as error:
        return Reading(delivery, None, str(error))
    except Exception as error:  # noqa: BLE001 decoding is pure: whatever it is, the bytes bring it about each time
        _log.exception("a record broke its decoder")
        return Reading(delivery, None, f"its decoder failed: {type(error).__name__}: {error}")


def _before(readings: Sequence[Reading], stops: Iterable[Reading]) -> list[Reading]:
    """Return what lies before the first stop of its partition."""
    first: dict[Partition, int] = {}
    for stop in stops:
        first.setdefault(stop.delivery.partition, stop.delivery.offset)
    return [one for one in readings if one.delivery.offset < first.get(one.delivery.partition, one.delivery.offset + 1)]
