"""A file that was closed on dCache is an event, one that is still being written is none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import (
    RECEIVED,
    arrive,
    document,
    ignored,
    only_event,
    refused,
    sample,
)

ROUTE = Route(source="dcache", provider="webdav.dcache", directory="/data/in")
KEY = "in/red flower+é%41.jpg".encode()
CLOSED = document("docs-dcache-inotify-IN_CLOSE_WRITE")
BILLED = document("docs-dcache-billing-transfer")


def with_mask(*masks: str, name: str | None = "a") -> Any:
    return CLOSED | {"event": {"mask": list(masks)} | ({} if name is None else {"name": name})}


def test_a_closed_file_is_an_event_in_the_directory_that_its_source_names() -> None:
    event = only_event(sample("docs-dcache-inotify-IN_CLOSE_WRITE"), ROUTE)
    assert (event.bucket, event.key, event.kind) == ("data", KEY, "dcache")
    assert (event.action, event.reason, event.time) == (Action.CREATED, "close_write", RECEIVED)
    assert event.source == "webdav://webdav.dcache/data"
    assert event.raw.body == sample("docs-dcache-inotify-IN_CLOSE_WRITE")


def test_a_source_that_names_no_directory_says_what_is_missing() -> None:
    with pytest.raises(EventError, match="the source dcache has no `directory`"):
        arrive(CLOSED, replace(ROUTE, directory=None))


@pytest.mark.parametrize(
    ("masks", "action", "reason"),
    [
        (["IN_MOVED_TO"], Action.CREATED, "moved_to"),
        (["IN_DELETE"], Action.REMOVED, "delete"),
        (["IN_MOVED_FROM"], Action.REMOVED, "moved_from"),
        (["IN_ATTRIB", "IN_CLOSE_WRITE"], Action.CREATED, "close_write"),
    ],
)
def test_what_a_mask_means(masks: list[str], action: Action, reason: str) -> None:
    event = only_event(with_mask(*masks), ROUTE)
    assert (event.action, event.reason) == (action, reason)


@pytest.mark.parametrize("mask", ["IN_CREATE", "IN_OPEN", "IN_MODIFY", "IN_ATTRIB"])
def test_a_file_that_is_still_written_starts_nothing(mask: str) -> None:
    assert ignored(with_mask(mask), ROUTE) == "the file was created, opened or changed, not closed"


def test_directories_and_the_channels_own_events_start_nothing() -> None:
    assert ignored(with_mask("IN_MOVED_TO", "IN_ISDIR"), ROUTE) == "a directory, not a file"
    for made in (with_mask("IN_Q_OVERFLOW", name=None), {"type": "EVENT_LOSS"}, {"type": "SHUTDOWN"}):
        assert ignored(made, ROUTE) == "dCache speaks of the channel, not of a file"


def test_a_users_document_with_such_a_type_is_not_taken_for_dcaches() -> None:
    event = only_event({"type": "SHUTDOWN", "host": "a"}, replace(ROUTE, service="s"))
    assert event.action is Action.RECEIVED


def test_one_event_of_a_channel_told_twice_is_one_and_two_are_two() -> None:
    first, again, next_one = (only_event(CLOSED, ROUTE, idempotency_key=name) for name in ("41", "41", "42"))
    assert first.id == again.id != next_one.id


@pytest.mark.parametrize("name", ["a/b", "../b", 5])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(EventError, match=r"event\.name"):
        arrive(with_mask("IN_CLOSE_WRITE", name=name), ROUTE)


def test_a_mask_that_is_no_list_is_refused() -> None:
    with pytest.raises(EventError, match=r"event\.mask"):
        arrive(CLOSED | {"event": {"name": "a", "mask": "IN_CLOSE_WRITE"}}, ROUTE)


def test_a_billed_transfer_is_an_event_with_its_whole_path() -> None:
    event = only_event(BILLED, ROUTE)
    assert (event.bucket, event.key, event.size, event.reason) == ("data", KEY, 5, "close_write")
    assert event.time == datetime(2026, 11, 21, 4, 30, 28, 13000, UTC)
    assert only_event(BILLED, ROUTE, idempotency_key="other").id == event.id


def test_scripts_find_a_billed_file_as_inotify_would_have_told_it() -> None:
    raw = only_event(BILLED, ROUTE).raw.body
    found = json.loads(raw)
    assert found["event"] == {"name": "red flower+é%41.jpg", "mask": ["IN_CLOSE_WRITE"]}
    assert only_event(raw, replace(ROUTE, directory=None)).key == KEY


def test_a_removed_file_is_billed_as_removed() -> None:
    event = only_event(BILLED | {"msgType": "remove"}, ROUTE)
    assert (event.action, event.reason) == (Action.REMOVED, "delete")


@pytest.mark.parametrize(
    "changed",
    [
        {"isWrite": "read"},
        {"isP2p": True},
        {"status": {"code": 666, "msg": "no"}},
        {"msgType": "request"},
        {"msgType": "hit"},
        {"msgType": "store"},
    ],
)
def test_what_else_dcache_bills_starts_nothing(changed: dict[str, object]) -> None:
    assert ignored(BILLED | changed, ROUTE).startswith("dCache billed something else")


def test_a_mask_that_no_database_can_hold_is_refused() -> None:
    assert "NUL" in refused(with_mask("IN_CLOSE_WRITE", "a\0"), ROUTE)
