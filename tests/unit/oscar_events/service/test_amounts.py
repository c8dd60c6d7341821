"""Durations and sizes, said as people say them."""

from __future__ import annotations

import pytest

from oscar_events.service.amounts import amount, lasting, quantity


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (90, "1m30s"),
        (0.5, "0.5s"),
        (0, "0s"),
        (60, "1m"),
        (3600, "1h"),
        (86_400, "1d"),
        (90_061.25, "1d1h1m1.25s"),
        (59.9999, "1m"),  # rounded to milliseconds before it is cut into parts
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(20 * 2**20, "20Mi"), (5_000_000, "5M"), (1536, "1536 bytes"), (3 * 2**30, "3Gi"), (7, "7 bytes"), (0, "0 bytes")],
)
def test_a_size_is_said_in_the_largest_unit_that_is_exact(size: int, text: str) -> None:
    assert quantity(size) == text
    assert amount(text.removesuffix(" bytes")) == size
