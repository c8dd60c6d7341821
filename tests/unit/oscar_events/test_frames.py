"""Frames between dispatcher and worker: what goes in comes out, and what is none is refused."""

from __future__ import annotations

import pytest

from oscar_events.errors import EventError
from oscar_events.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Ask,
    Cancel,
    Ended,
    FromWorker,
    Go,
    Run,
    Started,
    ToWorker,
    body_length,
    frame,
    from_worker,
    to_worker,
)
from oscar_events.job import Outcome, Report
from tests.unit.oscar_events.test_job import JOB

REPORT = Report(execution="e", attempt=1, nonce="n", outcome=Outcome.SUCCEEDED)


@pytest.mark.parametrize(
    "message", [Run(JOB, "/d"), Go("e", 1, True), Cancel("e", 1)], ids=lambda one: type(one).__name__
)
def test_an_order_arrives_as_it_was_sent(message: ToWorker) -> None:
    data = frame(message)
    assert body_length(data[:HEADER_BYTES]) == len(data) - HEADER_BYTES
    assert to_worker(data[HEADER_BYTES:]) == message


@pytest.mark.parametrize(
    "message", [Ask("e", 1), Started("e", 1, 0.5), Ended(REPORT, b"\xff\0")], ids=lambda one: type(one).__name__
)
def test_an_answer_arrives_as_it_was_sent(message: FromWorker) -> None:
    assert from_worker(frame(message)[HEADER_BYTES:]) == message


def test_a_length_that_cannot_be_says_that_the_pipe_is_out_of_step() -> None:
    assert body_length(MAX_FRAME_BYTES.to_bytes(HEADER_BYTES, "big")) == MAX_FRAME_BYTES
    with pytest.raises(EventError, match="out of step"):
        body_length(b"GET ")


def test_a_message_that_no_reader_would_accept_is_not_made() -> None:
    with pytest.raises(EventError, match="at most"):
        frame(Ended(REPORT, bytes(MAX_FRAME_BYTES)))
