"""Slots go to whoever was served least, and nobody who waits is forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from oscar_dispatcher.fairness import Demand, Fairness

_rooms = st.none() | st.integers(-2, 5)
_demands = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.sampled_from(["t1", "t2", "t3"]), _rooms), max_size=8
).map(lambda services: [Demand(uid, tenant, room) for uid, (tenant, room) in services.items()])
_slots = st.integers(0, 20)


def hungry(uid: str, tenant: str = "tenant") -> Demand:
    """Always has more waiting, and no limit of its own."""
    return Demand(uid, tenant, None)


@given(st.lists(st.tuples(_demands, _slots), max_size=20))
def test_no_more_is_given_than_there_is_nor_more_to_a_service_than_its_room(
    rounds: list[tuple[list[Demand], int]],
) -> None:
    fairness = Fairness()
    for demands, slots in rounds:
        given = dict(fairness.share(demands, slots))
        rooms = {demand.service_uid: slots if demand.room is None else max(0, demand.room) for demand in demands}
        assert all(0 < count <= rooms[uid] for uid, count in given.items())
        assert sum(given.values()) == min(slots, sum(rooms.values())), "a slot stayed free although somebody waited"


@given(st.integers(1, 8), st.lists(_slots, max_size=30))
def test_services_that_always_wait_are_served_alike(services: int, rounds: list[int]) -> None:
    fairness, served = Fairness(), Counter({f"s{number}": 0 for number in range(services)})
    for slots in rounds:
        served.update(dict(fairness.share([hungry(uid) for uid in served], slots)))
        assert max(served.values()) - min(served.values()) <= 1


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.lists(_slots, max_size=30))
def test_tenants_that_always_wait_are_served_alike_however_many_services_each_has(
    sizes: list[int], rounds: list[int]
) -> None:
    tenant_of = {f"{tenant}-{number}": f"t{tenant}" for tenant, size in enumerate(sizes) for number in range(size)}
    fairness, served = Fairness(), Counter(dict.fromkeys(tenant_of.values(), 0))
    for slots in rounds:
        for uid, count in fairness.share([hungry(uid, tenant) for uid, tenant in tenant_of.items()], slots):
            served[tenant_of[uid]] += count
        assert max(served.values()) - min(served.values()) <= 1


@given(st.integers(0, 1000))
def test_a_newcomer_waits_one_turn_however_long_the_others_were_served(before: int) -> None:
    fairness = Fairness()
    fairness.share([hungry("old")], before)
    assert dict(fairness.share([hungry("old"), hungry("new")], 2)) == {"old": 1, "new": 1}


def test_nobody_saves_up_turns_while_idle() -> None:
    fairness = Fairness()
    fairness.share([hungry("a"), hungry("b")], 2)
    fairness.share([hungry("a")], 100)
    assert dict(fairness.share([hungry("a"), hungry("b")], 10)) == {"a": 5, "b": 5}


def test_a_service_at_its_own_limit_leaves_its_slots_to_others() -> None:
    assert dict(Fairness().share([Demand("limited", "t", 1), hungry("free", "t")], 4)) == {"limited": 1, "free": 3}
    assert Fairness().share([Demand("full", "t", 0)], 4) == []
