"""The frames between the `process` backend and its workers: a 4-byte big-endian length, then JSON.

In:  messages of the types below. Out: bytes on a pipe, and back.
Not here: what a worker does with them (oscar_supervisor/worker.py), which worker gets which job (local_process.py).

The order for one attempt: Run -> Ask -> Go -> Started -> Ended. A worker that has the lock asks before the script
starts, and the dispatcher answers only after `leased -> submitted` has committed (design §3.6): whoever wakes late is
refused. A Go with allowed=False is answered by nothing: the worker lets go of the lock and is idle again.
"""

from __future__ import annotations

import struct

import msgspec

from oscar_events.errors import EventError
from oscar_events.job import Job, Report

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size
# A script (256 KiB at most, as its service file), an event (128 KiB, in base64) and settings: 4 MiB is ten times that.
MAX_FRAME_BYTES = 4 * 1024 * 1024


class Run(msgspec.Struct, frozen=True, tag="run"):
    """To the worker: take the lock of this attempt, then ask. directory: the execution's own: lock, log, files."""

    job: Job
    directory: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """From the worker: the lock is mine; may the attempt start?"""

    execution: str
    attempt: int


class Go(msgspec.Struct, frozen=True, tag="go"):
    """To the worker: the answer to Ask."""

    execution: str
    attempt: int
    allowed: bool


class Started(msgspec.Struct, frozen=True, tag="started"):
    """From the worker: the script runs since `at`, seconds since 1970."""

    execution: str
    attempt: int
    at: float


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """To the worker: end this attempt's script, publish nothing more of it, report."""

    execution: str
    attempt: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From the worker: the attempt is over, nothing of it runs any more. log: head and tail of the script's output."""

    report: Report
    log: bytes


ToWorker = Run | Go | Cancel
FromWorker = Ask | Started | Ended

_to_worker = msgspec.json.Decoder(ToWorker)
_from_worker = msgspec.json.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """Return the message with its length in front. Raises EventError above MAX_FRAME_BYTES."""
    body = msgspec.json.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise EventError(f"a message of {len(body)} bytes, {MAX_FRAME_BYTES} at most")
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Return the length of the body that follows. Raises EventError above MAX_FRAME_BYTES: the pipe is out of step."""
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise EventError(f"a frame of {length} bytes, {MAX_FRAME_BYTES} at most: the pipe is out of step")
    return int(length)


def to_worker(body: bytes) -> ToWorker:
    """Return the message a worker was sent."""
    message: ToWorker = _to_worker.decode(body)
    return message


def from_worker(body: bytes) -> FromWorker:
    """Return the message a worker sent."""
    message: FromWorker = _from_worker.decode(body)
    return message
