"""The descriptors this process was started with, in whatever state its starter left them, and files the user names.

In:  stdin, a path; bytes for stdout. Out: all that is there, bounded; bytes written whole.
Not here: what is read (app.py), what is written (answer.py).

A pipe shared with an event loop does not block (O_NONBLOCK is of the pipe's end, not of a process): it is waited for.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from oscar_events.errors import ConfigurationError, EventError

# A file in the body of a synchronous call. Three copies of it are in memory for a moment, and OSCAR gives a service
# 256 Mi unless it asks for more.
MAX_INPUT_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def occupy_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed: what is opened next would get their number, and what is meant for it.

    A closed stdin is an empty event, as from /dev/null.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def stdin_is_a_terminal() -> bool:
    """Return whether a person has to type what is read."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_stdin() -> bytes:
    """Return what is on stdin, to its end. Raises EventError if it is too much."""
    return _read_all(_STDIN, "the event on stdin")


def read_file(path: Path) -> bytes:
    """Return what is in a file or a pipe with a name. Raises ConfigurationError naming it, EventError if too much."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read_all(descriptor, str(path))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def to_stdout(data: bytes) -> None:
    """Write all of it, however long whoever reads it takes. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(_STDOUT, view) :]
        except BlockingIOError:
            _wait(_STDOUT, select.POLLOUT)


def _read_all(descriptor: int, what: str) -> bytes:
    data = bytearray()
    while chunk := _read(descriptor):
        data += chunk
        if len(data) > MAX_INPUT_BYTES:
            raise EventError(f"{what} has more than {MAX_INPUT_BYTES} bytes; put files into a bucket instead")
    return bytes(data)


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            _wait(descriptor, select.POLLIN)


def _wait(descriptor: int, what: int) -> None:
    poll = select.poll()
    poll.register(descriptor, what)
    poll.poll()
