"""Calls that block, made aside: what they return and raise, and how an interruption reaches both threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from oscar_supervisor.storage import aside as module
from oscar_supervisor.storage.aside import aside
from oscar_supervisor.storage.port import Checkpoint
from tests.contracts.storage import StopNowError, go_on


def test_a_call_returns_what_it_returns() -> None:
    assert aside(lambda _: 5, go_on) == 5


def test_a_call_raises_what_it_raises() -> None:
    def call(_: Checkpoint) -> None:
        raise FileNotFoundError("of it")

    with pytest.raises(FileNotFoundError, match="of it"):
        aside(call, go_on)


def after(number: int) -> Callable[[], None]:
    left = [number]

    def checkpoint() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise StopNowError

    return checkpoint


def test_an_interruption_heard_by_the_waiting_thread_ends_the_call_at_its_next_piece() -> None:
    """Although the checkpoint raises but once."""
    ended = threading.Event()

    def call(checkpoint: Checkpoint) -> None:
        silence = threading.Event()
        try:
            while not silence.wait(0.5):  # longer than the waiting thread lets pass between two of its questions
                checkpoint()
        except StopNowError:
            ended.set()
            raise

    with pytest.raises(StopNowError):
        aside(call, after(1))
    assert ended.is_set()


def test_an_interruption_heard_by_the_call_is_raised() -> None:
    with pytest.raises(StopNowError):
        aside(lambda checkpoint: checkpoint(), after(1))


def test_a_call_that_hears_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.01)
    release, over = threading.Event(), threading.Event()

    def call(_: Checkpoint) -> None:
        release.wait()
        over.set()

    with pytest.raises(StopNowError):
        aside(call, after(1))
    assert not over.is_set()
    release.set()
    assert over.wait(30)
