"""The holder's memory of what runs is exact."""

from __future__ import annotations

import pytest

from oscar_dispatcher.flight import Attempt, Flight

FIRST = Attempt("one", 1, "blur", 1)
OTHER = Attempt("two", 1, "blur", 1)


def test_an_attempt_takes_a_slot_in_total_and_of_its_service() -> None:
    flight = Flight()
    flight.add(FIRST)
    flight.add(OTHER)
    flight.add(Attempt("three", 1, "edges", 1))
    assert flight.room(4) == 1
    assert flight.by_service() == {"blur": 2, "edges": 1}


def test_an_attempt_is_found_by_its_number_only() -> None:
    flight = Flight()
    flight.add(FIRST)
    assert flight.get("one", 1) == FIRST
    assert flight.get("one", 2) is None
    assert flight.get("two", 1) is None


def test_a_landing_attempt_frees_its_slot_but_has_not_left_before_its_end_is_written_down() -> None:
    flight = Flight()
    flight.add(FIRST)
    with flight.landing(FIRST):
        assert (flight.room(1), flight.by_service()) == (1, {})
        assert flight.get("one", 1) is None, "its end would be recorded a second time"
        assert "one" in flight
        assert not flight.empty.is_set()
    assert "one" not in flight
    assert flight.empty.is_set()


def test_the_next_attempt_may_fly_while_the_one_before_is_landing() -> None:
    flight = Flight()
    flight.add(FIRST)
    again = Attempt("one", 2, "blur", 1)
    with flight.landing(FIRST):
        flight.add(again)
    assert flight.get("one", 2) == again
    assert flight.by_service() == {"blur": 1}


def test_an_attempt_has_left_even_if_its_end_could_not_be_written_down() -> None:
    flight = Flight()
    flight.add(FIRST)
    with pytest.raises(ZeroDivisionError), flight.landing(FIRST):
        raise ZeroDivisionError
    assert flight.empty.is_set()


def test_nothing_is_in_flight_for_a_new_holder() -> None:
    flight = Flight()
    flight.add(FIRST)
    flight.clear()
    assert flight.room(3) == 3
    assert flight.by_service() == {}
    assert flight.empty.is_set()
