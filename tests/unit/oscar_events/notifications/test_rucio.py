"""A dataset that Rucio closed is an event, and nothing else that it tells."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from oscar_events.errors import EventError
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import arrive, document, ignored, only_event, sample

ROUTE = Route(source="hermes", provider="rucio.default")
CLOSED = document("docs-rucio-close")


def test_a_closed_dataset_is_an_event_of_its_scope() -> None:
    event = only_event(sample("docs-rucio-close"), ROUTE)
    assert event.id == "rucio-3wosyjwycxedmxdk34z3kpioru"
    assert (event.bucket, event.key, event.size, event.reason) == ("user.jdoe", b"dataset_name", 5, "close")
    assert event.source == "rucio://rucio.default/user.jdoe"
    assert event.time == datetime(2026, 11, 21, 4, 30, 28, 13000, UTC)


def test_the_catalogues_spelling_is_the_same_event() -> None:
    assert only_event(CLOSED | {"event_type": "CLOSE"}, ROUTE).id == only_event(CLOSED, ROUTE).id


def test_behind_a_record_it_is_the_same_event() -> None:
    assert only_event(CLOSED | {"Records": [{"eventSource": "rucio"}]}, ROUTE).id == only_event(CLOSED, ROUTE).id


@pytest.mark.parametrize("kind", ["open", "create_dts", "erase", "transfer-done", "deletion-done", "lost"])
def test_whatever_else_rucio_tells_starts_nothing(kind: str) -> None:
    assert ignored(CLOSED | {"event_type": kind}, ROUTE).startswith("Rucio tells something else")


def test_the_service_that_a_dataset_asks_for_is_not_believed() -> None:
    payload = CLOSED["payload"] | {"custom_metadata": {"oscar-service": "evil"}}
    assert only_event(CLOSED | {"payload": payload}, ROUTE).service is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"event_type": 5}, "event_type"),
        ({"payload": {"scope": "a"}}, r"payload\.name"),
        ({"payload": {"scope": "a/b", "name": "n"}}, "bucket"),
        ({"created_at": None}, "created_at"),
    ],
)
def test_a_broken_message_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(CLOSED | changed, ROUTE)
