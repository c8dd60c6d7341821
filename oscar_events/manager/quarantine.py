"""What people may ask of the quarantine: list it, look into it, send records again, settle them.

In:  filters, ids of records (`<partition>-<offset>` on the topic `oscar.quarantine`). Out: plain JSON values, bytes.
Not here: reading the topic backwards (quarantine_log.py), what makes an event of bytes (notifications/), refusing them.

Sent again means: made an event of once more, by the route of its source as it is configured now, and published. Only
once the bus has acknowledged that, the record is settled; killed in between, it is sent once more, and as the events
have the same ids, that starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from oscar_events import codec
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus, Delivery
from oscar_events.config import PlatformConfig
from oscar_events.errors import ConfigurationError, EventError
from oscar_events.ledger import settled
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.redrive import Verdict
from oscar_events.ledger.settled import How
from oscar_events.log import logger
from oscar_events.manager.quarantine_log import Bound, QuarantineLog, facts, record_id
from oscar_events.notifications.port import FOLDER_SOURCE, Notification
from oscar_events.notifications.recognise import normalise
from oscar_events.quarantine import KEPT_BYTES, Refused, refused_in
from oscar_events.record import Record

# What one request may send again: held in memory meanwhile, at 256 KiB each 25 MiB at the very worst.
MAX_STEP = 100
# The records intake refuses name where they lay instead of a source (oscar_dispatcher/intake.py).
_OF_INTAKE = f"{EVENTS}/"

_log = logger(__name__)


class Quarantine:
    """The quarantine of a platform. config: what config.yaml says at the moment."""

    def __init__(self, ledger: Ledger, bus: Bus, config: Callable[[], PlatformConfig]) -> None:
        self._ledger, self._bus, self._config = ledger, bus, config
        self._log = QuarantineLog(bus, ledger)

    async def page(
        self,
        *,
        source: str | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        settled_too: bool = False,
        limit: int | None = None,
        at: Sequence[Bound] | None = None,
    ) -> dict[str, Any]:
        """Return `records`, newest first, and `at`, from where to ask on; empty: there is nothing more.

        source: exactly; reason: a part of it, whatever its case. A page may have fewer records than asked for, or none,
        although there are more: what one answer looks through is bounded.
        """
        wanted = None if reason is None else reason.casefold()

        def fits(found: dict[str, Any]) -> bool:
            return (
                (settled_too or found["settled"] is None)
                and source in (None, found["source"])
                and (wanted is None or wanted in found["reason"].casefold())
            )

        since_ms = None if since is None else int(since.timestamp() * 1000)
        return await self._log.page(fits, since_ms, limit, at)

    async def show(self, record: str) -> dict[str, Any]:
        """Return what is known of a record; its bytes are `body`'s. Raises NotFoundError, ConfigurationError."""
        delivery = await self._log.find(record)
        return facts(delivery, await self._how(delivery))

    async def body(self, record: str) -> bytes:
        """Return the bytes that were kept, as they came in. Raises as `show`."""
        delivery = await self._log.find(record)
        try:
            return refused_in(delivery.record.value).body
        except EventError:
            return delivery.record.value

    async def redrive(self, records: Sequence[str]) -> list[dict[str, Any]]:
        """Send records again, in one step; return id, verdict, reason and how many events came of each.

        What is refused again stays, be it a part of it, with the new reason in the answer. Raises NotFoundError,
        BusError: then nothing is settled, and the same may be asked again.
        """
        config = self._config()
        topic_id = await self._bus.topic_id(QUARANTINE)
        answers: list[dict[str, Any]] = []
        published: list[Record] = []
        done: list[Delivery] = []
        for delivery in await self._found(records):
            answer: dict[str, Any] = {
                "id": record_id(delivery),
                "verdict": Verdict.DONE.value,
                "reason": "",
                "events": 0,
            }
            how = await self._how(delivery)
            if how is not None:
                answer |= {"verdict": Verdict.ALREADY.value, "reason": f"it was {how} before"}
            else:
                try:
                    again = _again(delivery, f"{topic_id}-{record_id(delivery)}", config)
                except EventError as error:
                    again = _Again(refused=str(error))
                published += again.records
                answer |= {"events": len(again.records), "reason": again.refused or again.said}
                if again.refused:
                    answer["verdict"] = Verdict.REFUSED.value
                else:
                    done.append(delivery)
            answers.append(answer)
        if published:
            await self._bus.publish(EVENTS, published)
        await self._settle(done, How.REDRIVEN)
        return answers

    async def purge(self, records: Sequence[str]) -> list[dict[str, Any]]:
        """Settle records that nobody wants; return id, verdict and reason of each. Raises NotFoundError.

        Their bytes stay in the log until its retention takes them: what lies in a log cannot be changed.
        """
        answers, done = [], []
        for delivery in await self._found(records):
            how = await self._how(delivery)
            verdict, reason = (Verdict.DONE, "") if how is None else (Verdict.ALREADY, f"it was {how} before")
            answers.append({"id": record_id(delivery), "verdict": verdict.value, "reason": reason})
            done += [delivery] if how is None else []
        await self._settle(done, How.PURGED)
        return answers

    async def _found(self, records: Sequence[str]) -> list[Delivery]:
        if len(records) > MAX_STEP:
            raise ConfigurationError(f"{len(records)} records in one step; {MAX_STEP} at most")
        return [await self._log.find(record) for record in dict.fromkeys(records)]

    async def _how(self, delivery: Delivery) -> How | None:
        return (await self._log.settled(delivery.partition, delivery.offset, delivery.offset + 1)).get(delivery.offset)

    async def _settle(self, deliveries: Sequence[Delivery], how: How) -> None:
        topic_id = await self._bus.topic_id(QUARANTINE)
        places = [(delivery.partition.number, delivery.offset) for delivery in deliveries]
        await self._ledger.write(lambda connection: settled.settle(connection, topic_id, places, how))


@dataclass(frozen=True, slots=True)
class _Again:
    """What a refused record comes to: events to publish, why it or a part of it is refused again, what else to say."""

    records: Sequence[Record] = ()
    refused: str = ""
    said: str = ""


def _again(delivery: Delivery, fresh_id: str, config: PlatformConfig) -> _Again:
    """Read a refused record once more. Raises EventError if it is refused again as a whole.

    fresh_id: the same each time, so that a message without an id of its own stays one event however often it is sent.
    """
    refused = refused_in(delivery.record.value)
    if not refused.is_whole:
        raise EventError(
            f"only the first {KEPT_BYTES} of its {refused.length} bytes were kept; have its sender send it again, "
            "with the body in a bucket and only its place in the event"
        )
    received = datetime.now(UTC)
    if refused.source.startswith(_OF_INTAKE):
        # Its place in time is where it lies now: retention counts from here, and replays find it here.
        record = codec.encode(codec.decode(refused.body))
        return _Again([replace(record, timestamp_ms=int(received.timestamp() * 1000))])
    source = config.sources.get(refused.source)
    if source is None:
        raise EventError(_without_source(refused))
    try:
        normalised = normalise(Notification(refused.body, refused.headers, received, fresh_id), source.route)
    except EventError:
        raise
    except Exception as error:  # what broke the normaliser when it came in (webhook.py) must not block all others now
        _log.exception("a record of the quarantine broke its normaliser", record=record_id(delivery))
        raise EventError(f"the platform failed to read it ({type(error).__name__}); its log says more") from error
    said = "" if normalised.events else f"nothing to start: {', '.join(normalised.ignored) or 'no event is in it'}"
    reasons = "; ".join(one.reason for one in normalised.refused)
    if normalised.refused and normalised.events:
        reasons = f"{len(normalised.events)} events of it were sent, the rest is refused: {reasons}"
    return _Again([codec.encode(event) for event in normalised.events], reasons, said)


def _without_source(refused: Refused) -> str:
    if refused.source == FOLDER_SOURCE:
        return "the file's path itself was refused; rename or repair the file, and it is noticed by itself"
    return f"config.yaml has no source {refused.source} any more; define it again, then send this again"
