"""The directories an attempt works in: made anew, or taken over clean from the attempt before.

In:  where an attempt's files go. Out: its directories there, empty; nothing of the attempt before in them.
Not here: what is put into them (pipeline.py).

Taken over, because making and removing them was a quarter of the CPU of short runs: ext4 looks past every inode deleted
in the last minute for a free one (perf on Linux 6.18, 300 runs a second).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

INPUT, OUTPUT, WORK = "input", "output", "work"
_ROOMS = (INPUT, OUTPUT, WORK)
_MODE = 0o700


class Desk:
    """Keeps the directories of the last attempt for the next one, in `spare`, on the file system of both."""

    def __init__(self, spare: Path) -> None:
        self._spare = spare

    def set_up(self, files: Path) -> None:
        """Make the directory `files` with the rooms in it."""
        try:
            self._spare.replace(files)
        except FileNotFoundError:
            files.mkdir(_MODE)
            for room in _ROOMS:
                (files / room).mkdir(_MODE)

    def clear(self, files: Path) -> None:
        """Take `files` away: kept for the next attempt if the script left it as it was, else removed."""
        with contextlib.suppress(FileNotFoundError):
            if _emptied(files):
                files.replace(self._spare)
            else:
                remove(files)

    def close(self) -> None:
        """Remove what was kept."""
        remove(self._spare)


def remove(directory: str | os.PathLike[str]) -> None:
    """Remove a directory with all a script made in it; what cannot be removed stays."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
        if os.path.isdir(directory):
            _make_writable(directory)
            shutil.rmtree(directory, ignore_errors=True)
    except RecursionError:  # deeper than Python can walk before 3.13; the system's own tool can
        subprocess.run(["/bin/rm", "-rf", "--", directory], check=False)


def _make_writable(directory: str | os.PathLike[str]) -> None:
    """Give back the rights that a script took from its folders, as Go does with its module cache."""
    for path, folders, _ in os.walk(directory):  # it looks into a folder after this loop's turn with it
        for folder in folders:
            below = os.path.join(path, folder)
            if not os.path.islink(below):
                with contextlib.suppress(OSError):
                    os.chmod(below, _MODE)


def _emptied(files: Path) -> bool:
    """Remove the files in `files` and its rooms; return whether just the rooms are left, as they were made."""
    rooms = {os.fspath(files / room) for room in _ROOMS}
    try:
        for directory in (os.fspath(files), *rooms):
            status = os.lstat(directory)
            if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != _MODE:
                return False
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.path not in rooms:
                        os.unlink(entry.path)  # a directory of the script's: OSError
    except OSError:
        return False
    return True
