"""What killed ones left is removed, and nothing of those who are at work in the same directory."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from oscar_dispatcher.backends.host import host_of
from oscar_dispatcher.backends.leftovers import remove_leftovers
from oscar_events.holder import SPARE_PREFIX


def execution(jobs: Path, name: str, record: bytes = b"") -> Path:
    """Make the directory of an execution with a lock in it."""
    directory = jobs / name
    (directory / "files" / "input").mkdir(parents=True)
    (directory / "log").write_text("printed")
    (directory / "lock").write_bytes(record)
    return directory


def test_an_execution_that_ended_in_good_order_leaves_nothing(tmp_path: Path) -> None:
    execution(tmp_path, "ended")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_execution_that_was_interrupted_stays_for_whoever_fences_it(tmp_path: Path) -> None:
    directory = execution(tmp_path, "interrupted", b"somebody")
    remove_leftovers(tmp_path)
    assert (directory / "log").exists()


def test_an_execution_whose_lock_is_held_stays_even_before_its_holder_says_who_he_is(tmp_path: Path) -> None:
    directory = execution(tmp_path, "beginning")
    with open(directory / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
    assert (directory / "lock").exists()


def test_a_directory_in_which_a_worker_is_about_to_make_its_lock_stays_if_there_is_anything_in_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "files").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_what_a_worker_keeps_for_its_next_attempt_is_removed_only_when_it_is_dead(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (os.getpid(), dead.pid):
        (tmp_path / f"{SPARE_PREFIX}{pid}" / "input").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SPARE_PREFIX}{os.getpid()}"]


def test_a_host_is_the_directory_and_stays_the_same(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    names = [host_of(one), host_of(one), host_of(other)]
    assert names[0] == names[1] != names[2]
    assert [path.name for path in one.iterdir()] == [".host"]
    remove_leftovers(one)
    assert host_of(one) == names[0]
