"""Checks of the machine: what has to be there before any platform.

In:  this machine. Out: findings.
Not here: the data directory (directory.py).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from oscar_events.doctor.finding import Finding, error, ok, warning
from oscar_events.sqlite import OLDEST_SQLITE

OLDEST_PYTHON = (3, 11)  # pyproject.toml, requires-python
SHELL = Path("/bin/sh")  # scripts are run by it (README)
_INOTIFY = Path("/proc/sys/fs/inotify")
# Other programs of the same user watch too (editors, desktops): with less than this left, theirs may take the rest.
_SHARE_OF_WATCHES = 0.8
_SMALL_NUMBER_OF_INSTANCES = 16


def python(version: tuple[int, int] = sys.version_info[:2]) -> Iterator[Finding]:
    """Check the interpreter."""
    found, oldest = (".".join(map(str, one)) for one in (version, OLDEST_PYTHON))
    if version < OLDEST_PYTHON:
        yield error("python", f"Python {found}", f"install Python {oldest} or newer, and oscar-events with it")
    else:
        yield ok("python", f"Python {found}")


def sqlite_library(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Iterator[Finding]:
    """Check the SQLite this Python comes with."""
    found, oldest = (".".join(map(str, one)) for one in (version, OLDEST_SQLITE))
    if version < OLDEST_SQLITE:
        yield error("sqlite", f"SQLite {found}", f"use a Python that comes with SQLite {oldest} or newer")
    else:
        yield ok("sqlite", f"SQLite {found}")


def shell(path: Path = SHELL) -> Iterator[Finding]:
    """Check what runs scripts."""
    if os.access(path, os.X_OK):
        yield ok("shell", f"{path} is there")
    else:
        yield error("shell", f"{path} cannot be run: no script can", f"install a POSIX shell as {path}")


def inotify(buckets: Path, limits: Path = _INOTIFY) -> Iterator[Finding]:
    """Check that the kernel lets every directory of the buckets be watched."""
    if not limits.exists():
        yield ok("inotify", "no inotify on this system: folders are listed instead")
        return
    watches = int((limits / "max_user_watches").read_text())
    instances = int((limits / "max_user_instances").read_text())
    directories = sum(1 for _ in os.walk(buckets))
    fix = "raise it: sysctl fs.inotify.max_user_watches={}"
    if directories > watches:
        what = f"{directories} directories to watch, and the kernel allows {watches}: files are only seen by listings"
        yield error("inotify", what, fix.format(4 * directories))
    elif directories > _SHARE_OF_WATCHES * watches:
        what = f"{directories} directories to watch, and the kernel allows {watches} for all programs of a user"
        yield warning("inotify", what, fix.format(4 * directories))
    else:
        yield ok("inotify", f"{directories} directories to watch, {watches} allowed")
    if instances < _SMALL_NUMBER_OF_INSTANCES:
        what = f"a user's programs may only have {instances} instances"
        yield warning("inotify", what, "raise it: sysctl fs.inotify.max_user_instances=128")
