"""What a database refuses for the values' sake is told from what it cannot do at all."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from oscar_events.ledger.refusal import refuses_values


class OfServer(Exception):
    """An error as a driver raises it, with the server's state."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "is_of_values"),
    [
        ("22021", True),  # a NUL in a text
        ("22003", True),  # a number out of range
        ("54000", True),  # a key too long for its index
        ("42P01", False),  # no such table
        ("42501", False),  # no right to it
        ("23505", False),  # a key that is taken
        ("53100", False),  # the disk is full
        ("XX000", False),
    ],
)
def test_postgresql_says_by_its_state_what_is_at_fault(sqlstate: str, is_of_values: bool) -> None:
    assert refuses_values(DBAPIError("INSERT", {}, OfServer(sqlstate))) is is_of_values


def test_what_a_driver_cannot_even_send_is_the_values_fault() -> None:
    assert refuses_values(OverflowError("Python int too large to convert to SQLite INTEGER"))
    with pytest.raises(UnicodeEncodeError) as refused:
        "\ud800".encode()
    assert refuses_values(refused.value)


@pytest.mark.parametrize("error", [OperationalError("INSERT", {}, Exception("disk I/O error")), KeyError("a bug")])
def test_everything_else_is_not(error: Exception) -> None:
    assert not refuses_values(error)
