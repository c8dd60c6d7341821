"""The platform's own log: JSON for machines, lines for people, fields instead of sentences."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from oscar_events.log import configure, logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


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
