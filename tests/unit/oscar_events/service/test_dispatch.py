"""Our own block: what it takes, and what it has in common with the events it speaks of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from oscar_events.event import Action
from oscar_events.service.dispatch import EVENT_TYPES, Dispatch


def test_a_service_may_be_started_by_whatever_can_happen_to_an_object() -> None:
    assert set(EVENT_TYPES) == {action.value for action in Action} - {Action.RECEIVED.value}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("removed", ("removed",)),
        (["updated", "created", "Created"], ("created", "updated")),  # one order, each once
    ],
)
def test_event_types_are_a_set(written: object, read: tuple[str, ...]) -> None:
    assert Dispatch.model_validate({"event_types": written}).event_types == read


@pytest.mark.parametrize(("written", "size"), [(5, 5), ("5", 5), ("10Mi", 10 << 20), ("1.5k", 1500), ("1e3", 1000)])
def test_sizes_are_bytes_or_quantities(written: object, size: int) -> None:
    assert Dispatch.model_validate({"filters": {"size": {"max": written}}}).filters.size.max == size


def test_by_default_only_what_was_created_starts_a_run_which_waits_for_ever() -> None:
    assert Dispatch().event_types == ("created",)
    assert Dispatch().expire is None
    assert Dispatch().backend == "process"
    assert Dispatch().reconcile is True
    assert Dispatch.model_validate({"expire": "1.5h"}).expire == timedelta(minutes=90)


@pytest.mark.parametrize("written", ["sometimes", 2, []])
def test_whether_listings_are_for_a_service_is_a_yes_or_no(written: object) -> None:
    assert Dispatch.model_validate({"reconcile": False}).reconcile is False
    with pytest.raises(ValidationError):
        Dispatch.model_validate({"reconcile": written})
