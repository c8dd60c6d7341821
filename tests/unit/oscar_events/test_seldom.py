"""The same thing is said at first, then ever less often while it goes on, with a count of what was left out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from oscar_events import seldom
from oscar_events.seldom import FIRST_S, LONGEST_S, Seldom, without_numbers
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def some(clock: Clock) -> Seldom:
    return Seldom(clock)


def test_what_goes_on_is_said_first_and_then_at_growing_intervals_with_a_count(some: Seldom, clock: Clock) -> None:
    said: dict[float, int] = {}
    for second in range(3600):
        clock.now = float(second)
        if (left_out := some.due("the quarry is closed")) is not None:
            said[clock.now] = left_out
    moments = list(said)
    assert moments[:3] == [0, FIRST_S, 3 * FIRST_S]
    assert said[FIRST_S] == FIRST_S - 1
    assert max(b - a for a, b in pairwise(moments)) == LONGEST_S


def test_something_else_is_said_at_once(some: Seldom) -> None:
    assert [some.due("one"), some.due("one"), some.due("other")] == [0, None, 0]


def test_what_was_over_is_news_again(some: Seldom, clock: Clock) -> None:
    some.due("the quarry is closed")
    clock.now = 1000.0
    assert some.due("the quarry is closed") == 0
    clock.now += 1
    assert some.due("the quarry is closed") is None


def test_texts_that_are_never_the_same_do_not_pile_up(some: Seldom) -> None:
    for number in range(2 * seldom._REMEMBERED):
        some.due(f"stone {number}")
    assert len(some._said) == seldom._REMEMBERED


def test_numbers_and_places_make_no_difference() -> None:
    assert without_numbers("Task-17 at 0x7fAB") == without_numbers("Task-4 at 0x10")
