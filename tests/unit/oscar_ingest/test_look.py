"""No file is read half-written: what may be announced, and what has to wait."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oscar_events.paths import is_hidden
from oscar_events.writers import under_lease, without_lease
from oscar_ingest.folder_record import File
from oscar_ingest.sources.listing import Place
from oscar_ingest.sources.look import Examine, Later, look

LATER_NS = 3_600_000_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


def seen(path: Path, *, age_ns: int = 0, key: bytes = b"a", examine: Examine = under_lease) -> File | Later | None:
    return look(os.fsencode(path), Place("in", key), time.time_ns() + age_ns, examine)


@linux
def test_a_file_is_announced_once_its_last_writer_has_closed_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as one:
        with path.open("ab"):
            assert seen(path, age_ns=LATER_NS) == Later(None)
        one.write(b"12345")
        one.flush()
        assert seen(path, age_ns=LATER_NS) == Later(None)
    file = seen(path)
    assert isinstance(file, File)
    assert file.size == 5


@linux
def test_a_file_mapped_for_writing_is_still_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    with path.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    assert seen(path) == Later(None)
    mapping.close()
    assert isinstance(seen(path), File)


@linux
def test_readers_do_not_hold_a_file_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    with path.open("rb"):
        assert isinstance(seen(path), File)


# Who opens a file while we hold a lease on it has the kernel signal us, by default with one that kills.
_COLLIDE = """
import os, sys, threading
from oscar_events.writers import under_lease
stop = threading.Event()
def write():
    while not stop.is_set():
        os.close(os.open(sys.argv[1], os.O_WRONLY))
writer = threading.Thread(target=write)
writer.start()
for _ in range(5000):
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    under_lease(descriptor)
    os.close(descriptor)
stop.set()
writer.join()
"""


@linux
def test_a_writer_that_comes_while_we_look_does_not_end_us(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert subprocess.run([sys.executable, "-c", _COLLIDE, path], timeout=60).returncode == 0


@linux
def test_no_version_is_seen_that_a_writer_never_finished(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            with path.open("wb", buffering=0) as file:  # empty, then half, then whole
                file.write(b"x" * 5)
                file.write(b"x" * 5)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        sizes = [found.size for _ in range(5000) if isinstance(found := seen(path), File)]
    finally:
        stop.set()
        writer.join()
    assert set(sizes) == {10}


def test_without_leases_a_file_has_to_be_still_for_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    wait = seen(path, examine=without_lease)
    assert isinstance(wait, Later)
    assert wait.seconds is not None
    assert 1.0 < wait.seconds <= 2.0
    assert isinstance(seen(path, age_ns=2_000_000_000, examine=without_lease), File)


def test_an_old_modification_time_does_not_make_a_file_still(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 0))
    assert isinstance(seen(path, examine=without_lease), Later)


def test_a_clock_set_back_does_not_hold_a_file_for_longer(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert seen(path, age_ns=-LATER_NS, examine=without_lease) == Later(2.0)


@linux
@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP])
def test_where_no_lease_is_to_be_had_it_is_not_known(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, command: int, argument: int = 0) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with (tmp_path / "a").open("wb") as file:
        assert under_lease(file.fileno())[1] is None


def test_names_with_a_dot_in_front_have_to_be_still_even_if_nobody_writes_them(tmp_path: Path) -> None:
    path = tmp_path / ".a.Xy12Zz"
    path.write_bytes(b"x")
    assert isinstance(seen(path, key=b".a.Xy12Zz"), Later)
    assert isinstance(seen(path, key=b".a.Xy12Zz", age_ns=LATER_NS), File)


@pytest.mark.parametrize(
    ("key", "hidden"), [(b".a", True), (b"p/.a", True), (b".p/a", True), (b"a.b", False), (b"p./a", False)]
)
def test_a_dot_counts_at_the_start_of_any_segment(key: bytes, hidden: bool) -> None:
    assert is_hidden(key) is hidden


def test_only_regular_files_that_are_there_are_objects(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "folder", "fifo", "gone", "target/below"):
        assert seen(tmp_path / name, age_ns=LATER_NS) is None
