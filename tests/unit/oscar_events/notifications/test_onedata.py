"""A new file in a space of Onedata is an event, by OneTrigger and by the changes stream."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import KEY, RECEIVED, arrive, document, ignored, only_event, sample

ROUTE = Route(source="one", provider="onedata.default")
OLD_FORM = {
    "seq": 7,
    "name": "a",
    "file_path": "/space/a",
    "file_id": "0001",
    "deleted": False,
    "changes": {"size": 5, "mtime": 1795235427},
}


def change(**groups: Any) -> Any:
    return document("docs-onedata-changes") | groups


def test_onetriggers_file_is_an_event_of_its_space() -> None:
    event = only_event(sample("docs-onedata-onetrigger"), ROUTE)
    assert (event.bucket, event.key, event.kind, event.action) == ("space", KEY, "onedata", Action.CREATED)
    assert event.source == "onedata://onedata.default/space"
    assert event.time == datetime(2026, 11, 21, 4, 30, 28, 13000, UTC)
    assert event.raw.body == sample("docs-onedata-onetrigger")


def test_the_path_must_be_of_the_file() -> None:
    made = document("docs-onedata-onetrigger") | {"Key": "/space/other"}
    assert "is not the path of" in arrive(made, ROUTE).refused[0].reason
    made["Records"] *= 2
    assert len(arrive(made, ROUTE).refused) == 2


def test_a_changed_file_is_an_event_with_its_place_in_the_stream() -> None:
    event = only_event(sample("docs-onedata-changes"), ROUTE)
    assert (event.bucket, event.key, event.size) == ("space", KEY, 5)
    assert (event.sequence, event.time) == ("00000000000000001042", RECEIVED)
    assert only_event(change(seq=1043), ROUTE).id != event.id


def test_scripts_find_a_change_as_onetrigger_would_have_told_it() -> None:
    found = only_event(sample("docs-onedata-changes"), ROUTE).raw.body
    record = json.loads(found)["Records"][0]
    assert (record["eventSource"], record["objectKey"]) == ("OneTrigger", "red flower+é%41.jpg")
    assert only_event(found, ROUTE).key == KEY


def test_the_old_form_of_a_change_is_read_too() -> None:
    event = only_event(OLD_FORM, ROUTE)
    assert (event.bucket, event.key, event.size) == ("space", b"a", 5)
    assert event.time == datetime(2026, 11, 21, 4, 30, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (change(fileMeta={"deleted": True}), "a file was removed from Onedata"),
        (change(fileMeta={"fields": {"type": "DIR"}}), "a directory, not a file"),
        (change(fileLocation={"changed": False, "fields": {"size": 5}}), "metadata changed, not the content"),
        (change(fileLocation=None), "metadata changed, not the content"),
        (OLD_FORM | {"deleted": True}, "a file was removed from Onedata"),
        (OLD_FORM | {"changes": {"mode": 5}}, "metadata changed, not the content"),
    ],
)
def test_what_is_no_new_content_starts_nothing(made: object, reason: str) -> None:
    assert ignored(made, ROUTE) == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"file_path": "/space"}, "names no file below a first folder"),
        ({"seq": "x"}, "seq"),
        ({"seq": None}, "seq is empty"),
        ({"changes": {"size": 5, "mtime": 10**18}}, "mtime"),
        ({"changes": []}, "changes is"),
    ],
)
def test_a_broken_change_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(OLD_FORM | changed, ROUTE)
