"""An attempt finds its directories empty and as they should be, whatever the attempt before did to them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from oscar_supervisor.desk import INPUT, OUTPUT, WORK, Desk


def tree(files: Path) -> dict[str, int]:
    """Return every path below files with its mode."""
    return {str(path.relative_to(files)): path.lstat().st_mode for path in files.rglob("*")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / ".spare")


def test_the_directories_of_an_attempt_that_left_only_files_serve_the_next(tmp_path: Path, desk: Desk) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    desk.set_up(first)
    made, inode = tree(first), first.stat().st_ino
    for place in (first / "script.sh", first / INPUT / "a", first / OUTPUT / ".b", first / WORK / "c"):
        place.write_text("left")
    desk.clear(first)
    assert not first.exists()
    desk.set_up(second)
    assert tree(second) == made
    assert second.stat().st_ino == inode


def _folder(files: Path) -> None:
    (files / WORK / "folder").mkdir()


def _link(files: Path) -> None:
    (files / OUTPUT).rmdir()
    (files / OUTPUT).symlink_to("/")


def _mode(files: Path) -> None:
    (files / INPUT).chmod(0o777)


def _missing(files: Path) -> None:
    (files / WORK).rmdir()


def _fifo(files: Path) -> None:
    (files / OUTPUT).rmdir()
    os.mkfifo(files / OUTPUT)


@pytest.mark.parametrize("change", [_folder, _link, _mode, _missing, _fifo])
def test_what_a_script_changed_is_not_used_again(tmp_path: Path, desk: Desk, change: Callable[[Path], None]) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    desk.set_up(first)
    made = tree(first)
    change(first)
    desk.clear(first)
    assert list(tmp_path.iterdir()) == []
    desk.set_up(second)
    assert tree(second) == made


def test_clearing_what_was_never_set_up_is_nothing(tmp_path: Path, desk: Desk) -> None:
    desk.clear(tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_goes_with_the_desk(tmp_path: Path, desk: Desk) -> None:
    desk.set_up(tmp_path / "1")
    desk.clear(tmp_path / "1")
    desk.close()
    assert list(tmp_path.iterdir()) == []


# Root needs no rights; nobody, 65534 everywhere, does. Only once all is imported: the interpreter may be root's alone.
LEAVING = """\
import os, sys
from oscar_supervisor.desk import remove
if os.geteuid() == 0:
    os.chown(sys.argv[1], 65534, -1)
    os.setuid(65534)
os.makedirs(f"{sys.argv[1]}/x/read-only/below")
os.makedirs(f"{sys.argv[1]}/x/closed/below")
os.symlink("/", f"{sys.argv[1]}/x/link")
os.chmod(f"{sys.argv[1]}/x/read-only", 0o555)
os.chmod(f"{sys.argv[1]}/x/closed", 0)
remove(f"{sys.argv[1]}/x")
"""


def test_folders_without_their_owners_rights_are_removed_too() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # pytest's own is closed to everybody else
        subprocess.run([sys.executable, "-c", LEAVING, directory], check=True)
        assert os.listdir(directory) == []
