"""An object as a listing tells of it, for whoever compares listings with what has run.

In:  nothing. Out: the protocol that every listing's objects keep.
Not here: listing anything (oscar_ingest/listings), for whom an object is (oscar_ingest/plan.py, manager/backfill.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Listed(Protocol):
    """An object version as a listing tells of it.

    arrived: when it came to be here, by the storage's clock, aware. event_id: the same that its notification has,
    unless `by_etag`: the listing lacks what the store tells versions apart by in its notifications.
    """

    @property
    def bucket(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def arrived(self) -> datetime: ...
    @property
    def event_id(self) -> str: ...
    @property
    def by_etag(self) -> bool: ...
