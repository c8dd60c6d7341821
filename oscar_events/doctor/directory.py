"""Checks of the data directory: is it usable, whose is it, what lies about in it.

In:  the directory. Out: findings. Nothing is made but a probe that is removed again, and nothing is locked for long.
Not here: what its databases say (databases.py), the services (storage.py).
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from oscar_dispatcher.backends.fence import has_ended
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.doctor.finding import Finding, error, ok, warning
from oscar_events.errors import ConfigurationError, DocumentError
from oscar_events.holder import SPARE_PREFIX
from oscar_events.sqlite import refuse_network_file_system

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A day of events and results of a busy laptop fits; below the second, SQLite and results meet a full disk soon.
_LITTLE, _TOO_LITTLE = 1024**3, 100 * 1024**2
# More is no rounding: `since` and "the file is still" compare the two clocks (ctime ticks every 4 ms at least).
_CLOCKS_APART_S = 2.0


def usable(directory: DataDirectory) -> Iterator[Finding]:
    """Check that the directory is there, ours, writable, and on a local disk."""
    path, named = directory.path, shlex.quote(str(directory.path))
    if not path.is_dir():
        what = "is a file" if path.exists() else "is not there"
        yield error("directory", f"{path} {what}", f"name another with --data, or: oscar-events --data {named} up")
        return
    if not directory.exists():
        what = f"{path} was never a data directory"
        yield error("directory", what, f"name another with --data, or: oscar-events --data {named} up")
        return
    folders = [path, directory.buckets, directory.jobs, directory.staging]
    wrong = [one for one in folders if not os.access(one, os.R_OK | os.W_OK | os.X_OK)]
    for one in wrong:
        what = f"{one} cannot be written to" if one.exists() else f"{one} is missing"
        folder = shlex.quote(str(one))
        fix = f"chown -R $(id -un) {named}; chmod u+rwx {folder}" if one.exists() else f"mkdir {folder}"
        yield error("directory", what, fix)
    try:
        refuse_network_file_system(path)
    except ConfigurationError as refused:
        yield error("directory", str(refused), "move it to a local disk, and name that with --data")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        what = f"{path} can be entered by other users (mode {mode:04o}): logs, events and secrets lie in it"
        yield warning("directory", what, f"chmod 700 {named}")
    elif not wrong:
        yield ok("directory", f"{path} is ours, on a local disk")


def free_disk(directory: DataDirectory, free: int | None = None) -> Iterator[Finding]:
    """Check the room that is left, bytes. free: instead of what the file system says."""
    left = shutil.disk_usage(directory.path).free if free is None else free
    what = f"{left / 1024**2:,.0f} MiB are free where {directory.path} lies"
    fix = "make room there, or move the directory to a larger disk while the platform is down"
    if left < _TOO_LITTLE:
        yield error("disk", what, fix)
    elif left < _LITTLE:
        yield warning("disk", what, fix)
    else:
        yield ok("disk", what)


def clock(directory: DataDirectory, now: float | None = None) -> Iterator[Finding]:
    """Check that the clock that stamps files is this machine's."""
    try:
        storage = directory.storage_time().timestamp()
    except ConfigurationError as unusable:
        yield error("clock", str(unusable), "mend the directory first")
        return
    apart = abs((time.time() if now is None else now) - storage)
    if apart > _CLOCKS_APART_S:
        what = f"files get times that are {apart:.0f} s off this machine's clock"
        yield warning("clock", what, "set the clock; with a virtual machine's shared folder, the host's too")
    else:
        yield ok("clock", "files and processes have the same clock")


def secret_files(directory: DataDirectory) -> Iterator[Finding]:
    """Check that nobody else can read secrets, or the token of the front."""
    known = [directory.secrets, *(directory.secrets.iterdir() if directory.secrets.is_dir() else ())]
    found = [path for path in (*known, directory.path / "up.json") if path.exists()]
    open_ones = [path for path in found if stat.S_IMODE(path.stat().st_mode) & _OTHERS]
    for path in open_ones:
        mode = "700" if path.is_dir() else "600"
        what = f"{path} can be read by other users (mode {stat.S_IMODE(path.stat().st_mode):04o})"
        yield error("secrets", what, f"chmod {mode} {shlex.quote(str(path))}")
    if not open_ones:
        yield ok("secrets", f"{len(found)} files and directories, for nobody else to read")


def configuration(directory: DataDirectory) -> Iterator[Finding]:
    """Check config.yaml."""
    try:
        config = load_config(directory)
    except ConfigurationError as wrong:
        what = (wrong.report.removeprefix("error: ") if isinstance(wrong, DocumentError) else "") or str(wrong)
        yield error("config", what, f"mend {directory.config}; what runs goes on as it said before, and nothing starts")
        return
    except OSError as unreadable:
        yield error(
            "config", f"{directory.config}: {unreadable.strerror}", f"chmod u+r {shlex.quote(str(directory.config))}"
        )
        return
    yield ok("config", f"{len(config.sources)} sources, {len(config.providers())} storage providers")


def is_held(directory: DataDirectory) -> bool:
    """Return whether a process holds the directory at this moment."""
    try:
        descriptor = os.open(directory.lock_file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def left_over(directory: DataDirectory) -> Iterator[Finding]:
    """Check what a platform that was killed left behind; for a directory that nobody holds."""
    start = f"start it again: oscar-events --data {shlex.quote(str(directory.path))} up"
    try:
        up = directory.read_up()
        listened = up and f"process {up.pid} was killed: it left up.json, and nothing listens on port {up.port}"
    except ConfigurationError as broken:
        listened = str(broken)
    if listened:
        yield warning("leftovers", listened, start)
    alive = [one.name for one in _executions(directory.jobs) if not has_ended(one)]
    if alive:
        what = f"of {len(alive)} runs something may still be running, without a platform: {', '.join(alive[:3])}"
        yield warning("leftovers", what, f"{start}; it ends what is left of them and tries them again")
    if not listened and not alive:
        yield ok("leftovers", "nothing was left behind")


def _executions(jobs: Path) -> list[Path]:
    if not jobs.is_dir():
        return []
    return sorted(one for one in jobs.iterdir() if one.is_dir() and not one.name.startswith(SPARE_PREFIX))
