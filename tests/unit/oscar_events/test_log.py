"""The platform's own log: JSON for machines, lines for people, fields instead of sentences."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from aiokafka.errors import GroupCoordinatorNotAvailableError, TopicAuthorizationFailedError

from oscar_events.log import configure, logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before, root, client = structlog.get_config(), logging.getLogger(), logging.getLogger("aiokafka")
    handlers, level, of_client = root.handlers, root.level, client.level
    client.setLevel(logging.NOTSET)  # commands have it say nothing, for the whole process
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)
    client.setLevel(of_client)


def test_a_line_is_one_json_object_with_what_happened_and_its_fields() -> None:
    stream = io.StringIO()
    configure(stream)
    logger("intake").warning("record kept in quarantine", where="oscar.events/0@7")
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "record kept in quarantine",
        "level": "warning",
        "module": "intake",
        "where": "oscar.events/0@7",
    }


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    configure(stream)
    logger("intake").warning("record kept in quarantine")
    assert "record kept in quarantine" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure(stream, "WARNING")
    logger("intake").info("nothing of interest")
    assert stream.getvalue() == ""
    with pytest.raises(KeyError):
        configure(stream, "LOUD")


def test_what_a_library_repeats_is_written_once_and_no_outage_is_its_error() -> None:
    stream = io.StringIO()
    configure(stream)
    for number in range(1000):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", number, "refused")
        said = f"Fatal write error\ntransport: <Transport 0x{number:x}>"  # as asyncio does: no arguments
        logging.getLogger("asyncio").error(said)
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["module"], one["level"]) for one in written] == [("aiokafka", "warning"), ("asyncio", "error")]


def test_errors_of_a_library_that_differ_are_all_written() -> None:
    stream = io.StringIO()
    configure(stream)
    for error in (ValueError("one"), ValueError("other"), KeyError("one")):
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    assert [name in stream.getvalue() for name in ("ValueError: one", "ValueError: other", "KeyError")] == [True] * 3


def test_a_broker_that_has_just_started_and_members_that_come_and_go_make_no_line() -> None:
    stream = io.StringIO()
    configure(stream)
    told = logging.getLogger("aiokafka.consumer.group_coordinator")
    told.error("Group Coordinator Request failed: %s", GroupCoordinatorNotAvailableError())
    told.warning("Marking the coordinator dead (node %s)for group %s.", 1, "oscar-dispatcher")
    told.warning("Heartbeat failed for group %s because it is rebalancing", "oscar-dispatcher")
    assert stream.getvalue() == ""
    told.error("Group Coordinator Request failed: %s", TopicAuthorizationFailedError())
    assert "Group Coordinator Request failed" in stream.getvalue()
