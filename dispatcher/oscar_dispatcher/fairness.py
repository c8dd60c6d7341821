"""Shares free slots out among tenants and services.

In:  who has something waiting, and how much each may still run. Out: how many of each to lease now.
Not here: counting what runs (schedule.py), choosing within a service (the ledger: oldest first).

Start-time fair queueing, counted in executions: every slot goes to the tenant that has been served least, within it to
the service that has been served least. Whoever comes (back) starts level with the least served of the others, so that
nobody saves up turns while idle, and one with a million waiting delays a newcomer by one turn only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """A service with something ready. room: how many more of it may run, None = no limit of its own."""

    service_uid: str
    tenant: str
    room: int | None


class Fairness:
    """Remembers who was served how often, as long as they have something waiting."""

    def __init__(self) -> None:
        self._tenants: dict[str, int] = {}
        self._services: dict[str, int] = {}

    def share(self, demands: Iterable[Demand], slots: int) -> list[tuple[str, int]]:
        """Return (service uid, slots) for the slots to give now; a service may have less waiting than it is given."""
        open_demands = [demand for demand in demands if demand.room is None or demand.room > 0]
        self._tenants = _level(self._tenants, {demand.tenant for demand in open_demands})
        self._services = _level(self._services, {demand.service_uid for demand in open_demands})
        given: dict[str, int] = {}
        while open_demands and slots > 0:
            chosen = min(open_demands, key=self._served)
            uid = chosen.service_uid
            given[uid] = given.get(uid, 0) + 1
            self._tenants[chosen.tenant] += 1
            self._services[uid] += 1
            slots -= 1
            if given[uid] == chosen.room:
                open_demands.remove(chosen)
        return list(given.items())

    def _served(self, demand: Demand) -> tuple[int, int, str]:
        return self._tenants[demand.tenant], self._services[demand.service_uid], demand.service_uid


def _level(served: Mapping[str, int], present: set[str]) -> dict[str, int]:
    """Keep the counts of those present; let newcomers begin at the lowest of them."""
    staying = {name: served[name] for name in present if name in served}
    lowest = min(staying.values(), default=0)
    return {name: staying.get(name, lowest) for name in present}
