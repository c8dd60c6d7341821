"""Services at the revisions that run, read from the ledger once.

In:  a service's uid and revision number. Out: the service as it was then; a revision never changes.
Not here: which services are active now (ledger/services.py `Catalogue`).
"""

from __future__ import annotations

from collections import OrderedDict

from oscar_events.ledger import services
from oscar_events.ledger.port import Ledger
from oscar_events.patience import until_available
from oscar_events.service import Service

# More than run at a time anywhere; with scripts of 256 KiB, the largest there are, 64 MiB.
_KEPT = 256


class Revisions:
    """Remembers the revisions used last."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: OrderedDict[tuple[str, int], Service] = OrderedDict()

    async def get(self, uid: str, number: int) -> Service:
        """Return the service at that revision, waiting while the ledger is away."""
        service = self._kept.get((uid, number))
        if service is None:
            service = await until_available(
                lambda: self._ledger.read(lambda c: services.revision(c, uid, number)), "reading a service"
            )
            self._kept[uid, number] = service
        self._kept.move_to_end((uid, number))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return service
