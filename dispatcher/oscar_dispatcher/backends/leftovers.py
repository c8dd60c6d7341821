"""Removes what killed dispatchers and workers left of executions of which nothing can run any more.

In:  the directory of jobs, in which other dispatchers may be at work. Out: nothing of theirs is touched.
Not here: ending what still runs (fence.py). A kill can fall between an end recorded in the ledger and its `forget`; an
execution that is to be tried again makes its directory anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from oscar_events.holder import LOCK_NAME, SPARE_PREFIX, identify


def remove_leftovers(jobs: Path) -> None:
    """Remove directories of executions whose lock is free and empty, and what dead workers kept. Blocks."""
    for directory in list(jobs.iterdir()):
        with contextlib.suppress(OSError):  # what cannot be removed stays; nobody is held up
            if directory.name.startswith(SPARE_PREFIX):
                if not _is_running(directory.name.removeprefix(SPARE_PREFIX)):
                    remove_tree(directory)
            elif directory.is_dir():
                _remove_ended(directory)


def remove_tree(directory: Path) -> None:
    """Remove the directory as far as it can be."""
    with contextlib.suppress(RecursionError):  # a tree deeper than Python can walk stays
        shutil.rmtree(directory, ignore_errors=True)


def _remove_ended(directory: Path) -> None:
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        directory.rmdir()  # only if it is empty: a worker may be about to make its lock
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.pread(lock, 1, 0) and os.path.samestat(os.fstat(lock), os.stat(directory / LOCK_NAME)):
            for path in list(directory.iterdir()):
                if path.is_dir() and not path.is_symlink():
                    remove_tree(path)
                elif path.name != LOCK_NAME:
                    path.unlink()
            # Last, and held: a worker that waits for the lock finds that its file is gone, and makes another.
            (directory / LOCK_NAME).unlink()
            directory.rmdir()
    finally:
        os.close(lock)


def _is_running(process: str) -> bool:
    return not process.isdigit() or identify(int(process)) is not None
