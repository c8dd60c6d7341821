"""What a notification comes to, whatever is wrong with it; and the counting of it.

In:  a notification and its route. Out: its events and refusals, never an error: a sender who is told of one comes again
for ever, and one record must not end a source that reads.
Not here: what the bytes mean (oscar_events/notifications), publishing (publisher.py, webhook.py).
"""

from __future__ import annotations

from oscar_events import metrics
from oscar_events.errors import EventError
from oscar_events.log import logger
from oscar_events.notifications.port import Normalised, Notification, Refusal, Route
from oscar_events.notifications.recognise import normalise

_log = logger(__name__)


def normalised(notification: Notification, route: Route) -> Normalised:
    """Return what it comes to; what cannot be read at all is refused whole."""
    try:
        return normalise(notification, route)
    except EventError as error:
        return Normalised(refused=(Refusal(notification.body, str(error)),))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this notification's, and others come after it
        metrics.alarms.labels("normaliser").inc()
        _log.exception("a notification broke its normaliser", source=route.source)
        reason = f"the platform failed to read it ({type(error).__name__}); its log says more"
        return Normalised(refused=(Refusal(notification.body, reason),))


def count(source: str, found: Normalised) -> None:
    """Count what the notifications of a source came to."""
    outcomes = {"accepted": found.events, "ignored": found.ignored, "quarantined": found.refused}
    for outcome, records in outcomes.items():
        if records:
            metrics.source_records.labels(source, outcome).inc(len(records))
