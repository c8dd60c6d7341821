"""Why an object does, or does not, start a service.

In:  a service, and what the index is asked. Out: a sentence per input, with what was wanted and what was there.
Not here: the answer itself (index.py; a test holds the two together), when an event was seen (manager/why.py).
"""

from __future__ import annotations

from oscar_events.event import Action
from oscar_events.matching.index import ActiveService
from oscar_events.matching.wanted import Aliases, Wanted, canonical_provider
from oscar_events.service import StorageIO


def explain(
    entry: ActiveService,
    tenant: str,
    provider: str,
    bucket: str,
    key: bytes,
    action: Action = Action.CREATED,
    size: int | None = None,
    aliases: Aliases | None = None,
) -> list[str]:
    """Return for each input of the service "" if it is met, else the first condition that failed; [] without inputs."""

    def of(place: StorageIO) -> str:
        if action is Action.RECEIVED:
            return "a message without an object meets no input; its source names the service it starts"
        if entry.tenant != tenant:
            return f"the service is tenant {entry.tenant}'s, the event {tenant}'s"
        watched, seen = (canonical_provider(one, aliases or {}) for one in (place.storage_provider, provider))
        if watched != seen:
            return f"storage {place.storage_provider} is watched, the event is of {provider}"
        if place.bucket != bucket:
            return f"bucket {place.bucket} is watched, the object is in {bucket}"
        return Wanted.of(place, entry.service.dispatch).first_unmet(key, action, size)

    return [of(place) for place in entry.service.input]
