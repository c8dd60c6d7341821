"""A listing as the reconciler and a backfill see it: what lies in a bucket, page by page, and the event of each object.

In:  a bucket and the folders of it that are of interest. Out: objects as they were listed; events on demand.
Not here: any store (one module each beside this one), for whom an object is (plan.py), publishing and claiming.

Nothing is held but the page at hand, however large a bucket is. Beside writers a listing is a moment each: what is
added behind it is the next one's, what is removed before its event is asked for may be told of all the same, as by a
notification that was slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from oscar_events.event import StorageEvent
from oscar_events.listed import Listed

Object = TypeVar("Object", bound=Listed)


class Lister(ABC, Generic[Object]):
    """The listings of one provider.

    provider: its id, like `minio.default`. source: what its events say they came by. min_age: what is younger is left
    to its notification. rest: the least time between two listings, unless something may have been missed.
    """

    provider: str
    source: str
    min_age: timedelta
    rest: timedelta

    @abstractmethod
    def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[Object]]:
        """Yield what lies below these folders, none of which lies in another; b"" is the bucket itself.

        What was deleted is left out, with its older versions. Raises NotFoundError for a missing bucket,
        ConfigurationError for refused keys or rights, UnavailableError while the store is away.
        """

    @abstractmethod
    async def event(self, found: Object, recorded: datetime, service_uids: tuple[str, ...]) -> StorageEvent | None:
        """Return the event of an object, None if it starts nothing: it is gone, or being written.

        Raises EventError for what can be no object of ours, or was made by a loop of services.
        """


AnyLister = Lister[Any]
