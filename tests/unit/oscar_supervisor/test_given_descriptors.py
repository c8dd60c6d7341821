"""stdin and stdout as odd as starters leave them: closed, or ends of pipes that do not block."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError
from oscar_supervisor.given_descriptors import read_file

ECHO = """\
from oscar_supervisor.given_descriptors import read_stdin, to_stdout
to_stdout(read_stdin())
"""
SAYING_THAT_IT_WAITS = f"""\
import os
from oscar_supervisor import given_descriptors
wait = given_descriptors._wait
def saying(*arguments):
    os.write(2, b"waits\\n")
    wait(*arguments)
given_descriptors._wait = saying
{ECHO}"""
# More than a pipe takes at once, 64 KiB.
LARGE = b"x" * 1024 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that do not block; whatever is open of it at the end is closed."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


def replace_by_nothing(end: int) -> None:
    """Close our end of a pipe; its number stays taken until the fixture closes it."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, end)
    os.close(nothing)


def test_a_pipe_that_does_not_block_is_waited_for_until_it_has_its_bytes(pipe: tuple[int, int]) -> None:
    from_us, to_them = pipe
    with subprocess.Popen(
        [sys.executable, "-c", SAYING_THAT_IT_WAITS], stdin=from_us, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as echo:
        assert echo.stderr is not None
        assert echo.stderr.readline() == b"waits\n"
        os.write(to_them, b"late")
        replace_by_nothing(to_them)
        assert echo.stdout is not None
        assert echo.stdout.read() == b"late"
    assert echo.returncode == 0


def test_an_answer_larger_than_a_pipe_that_does_not_block_arrives_whole(pipe: tuple[int, int], tmp_path: Path) -> None:
    from_them, to_us = pipe
    os.set_blocking(from_them, True)
    (tmp_path / "large").write_bytes(LARGE)
    with (tmp_path / "large").open("rb") as file:
        echo = subprocess.Popen([sys.executable, "-c", ECHO], stdin=file, stdout=to_us)
    replace_by_nothing(to_us)
    received = b"".join(iter(lambda: os.read(from_them, 65536), b""))
    assert (echo.wait(), received) == (0, LARGE)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_descriptors_that_are_closed_are_nobody_elses(closed: tuple[int, ...], tmp_path: Path) -> None:
    program = f"""\
import os, sys
for descriptor in {closed}:
    os.close(descriptor)
from oscar_supervisor.given_descriptors import occupy_standard_descriptors
occupy_standard_descriptors()
opened = os.open({str(tmp_path / "file")!r}, os.O_RDWR | os.O_CREAT)
os._exit(0 if opened > 2 and (0 not in {closed} or os.read(0, 1) == b"") else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL).returncode == 0


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match=f"^{path} cannot be read: "):
            read_file(path)
