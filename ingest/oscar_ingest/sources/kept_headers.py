"""Which headers of a notification are kept beside its bytes in quarantine.

In:  the headers it came with, names in lower case. Out: those that tell what the bytes are, so that they can be sent
again from there.
Not here: the quarantine's record (oscar_events/quarantine.py), refusing (the sources).
"""

from __future__ import annotations

from collections.abc import Mapping

from oscar_events.notifications.fields import is_unicode

# Never `authorization`. `uuid` is NiFi's own id of a FlowFile; `ce_` is `ce-` on Kafka.
_NAMES = frozenset({"content-type", "content-encoding", "idempotency-key", "user-agent", "filename", "uuid"})
_PREFIXES = ("ce-", "ce_", "x-nifi-", "s3.")


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to keep; none that is no text, for which the notification was then refused."""
    return {
        name: value
        for name, value in headers.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and is_unicode(value)
    }
