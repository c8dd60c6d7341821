"""What a script finds in its environment, and what it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from oscar_events.errors import ConfigurationError
from oscar_events.job import InputObject
from oscar_supervisor.environment import MAX_EVENT_BYTES, Places, script_environment
from tests.unit.oscar_supervisor.jobs import job

PLACES = Places(b"/i/caf\xe9", Path("/i"), Path("/o"), Path("/e"))
PLATFORM = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "OSCAR_EVENTS_TOKEN": "y"}


def environment(places: Places = PLACES, **fields: Any) -> dict[bytes, bytes]:
    return script_environment(job(**fields), places, PLATFORM, "node-1")


def test_a_script_sees_oscars_variables_and_of_the_platform_only_what_is_allowed() -> None:
    key = InputObject(provider="p", bucket="b", key=b"in/caf\xe9")
    assert environment(input=key, event_attributes={"id": "e-1", "subject": "s"}) == {
        b"PATH": b"/bin",
        b"HOME": b"/root",
        b"LC_ALL": b"C",
        b"INPUT_FILE_PATH": b"/i/caf\xe9",
        b"TMP_INPUT_DIR": b"/i",
        b"TMP_OUTPUT_DIR": b"/o",
        b"STORAGE_OBJECT_KEY": b"in/caf\xe9",
        b"EVENT_TIME": b"2026-01-02T03:04:05Z",
        b"EVENT": b'{"Records": []}',
        b"EVENT_FILE": b"/e",
        b"CE_ID": b"e-1",
        b"CE_SUBJECT": b"s",
        b"JOB_UUID": b"service-execution-1",
        b"RESOURCE_ID": b"node-1",
        b"OSCAR_SERVICE_NAME": b"service",
        b"OSCAR_SERVICE_BASE_PATH": b"",
        b"OSCAR_EVENTS_EXECUTION": b"execution",
        b"OSCAR_EVENTS_ATTEMPT": b"1",
    }


def test_an_event_without_an_object_has_no_input_whatever_the_service_says() -> None:
    found = environment(
        Places(None, Path("/i"), Path("/o"), Path("/e")), environment={"INPUT_FILE_PATH": "/etc/passwd"}
    )
    assert b"INPUT_FILE_PATH" not in found
    assert b"STORAGE_OBJECT_KEY" not in found


def test_the_services_variables_win_but_for_those_that_hold_the_attempt_together() -> None:
    wanted = {"PATH": "/mine", "EVENT_TIME": "now", "TMP_OUTPUT_DIR": "/", "OSCAR_EVENTS_EXECUTION": "other"}
    found = environment(environment=wanted)
    assert (found[b"PATH"], found[b"EVENT_TIME"]) == (b"/mine", b"now")
    assert (found[b"TMP_OUTPUT_DIR"], found[b"OSCAR_EVENTS_EXECUTION"]) == (b"/o", b"execution")


@pytest.mark.parametrize("event", [b"x" * MAX_EVENT_BYTES, b"nul\0", b"\xff"])
def test_an_event_that_no_variable_can_hold_is_only_in_its_file(event: bytes) -> None:
    found = environment(event=event)
    assert b"EVENT" not in found
    assert found[b"EVENT_FILE"] == b"/e"


@pytest.mark.parametrize("variables", [{"A": "nul\0"}, {"A\0": ""}, {"A=B": ""}, {"": "value"}])
def test_a_variable_no_process_can_have_is_refused_by_name(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="no process can have the variable"):
        environment(environment=variables)


@pytest.mark.parametrize("type_", ["oscar.storage.object.removed.v1", "oscar.storage.object.created.v1"])
def test_the_key_of_an_object_that_is_not_fetched_is_told_all_the_same(type_: str) -> None:
    attributes = {"type": type_, "subject": "in/a%20b%25%C3%A9.jpg"}
    assert environment(event_attributes=attributes)[b"STORAGE_OBJECT_KEY"] == "in/a b%é.jpg".encode()


def test_a_message_has_no_key() -> None:
    attributes = {"type": "oscar.message.received.v1", "subject": "its-id"}
    assert b"STORAGE_OBJECT_KEY" not in environment(event_attributes=attributes)


def test_a_name_in_another_encoding_keeps_its_bytes() -> None:
    assert environment(environment={os.fsdecode(b"caf\xe9"): "1"})[b"caf\xe9"] == b"1"
