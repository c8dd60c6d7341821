"""What the doctor says of a machine that lacks something, and that it is silent once it is there."""

from __future__ import annotations

from pathlib import Path

from oscar_events.doctor import machine
from oscar_events.doctor.finding import Finding, Level


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_an_old_python_and_an_old_sqlite_are_named_with_what_is_needed() -> None:
    old = only(list(machine.python((3, 10))))
    assert (old.level, old.what) == (Level.ERROR, "Python 3.10")
    assert "install Python 3.11 or newer" in old.fix
    assert only(list(machine.python())).level is Level.OK
    assert "SQLite 3.35.0 or newer" in only(list(machine.sqlite_library((3, 34, 1)))).fix
    assert only(list(machine.sqlite_library())).level is Level.OK


def test_a_machine_without_a_shell_cannot_run_scripts(tmp_path: Path) -> None:
    shell = tmp_path / "sh"
    missing = only(list(machine.shell(shell)))
    assert missing.level is Level.ERROR
    assert missing.fix == f"install a POSIX shell as {shell}"
    shell.write_text("#!/bin/true\n")
    shell.chmod(0o755)
    assert only(list(machine.shell(shell))).level is Level.OK


def test_more_directories_than_the_kernel_lets_watch_are_told_with_the_sysctl(tmp_path: Path) -> None:
    limits, buckets = tmp_path / "limits", tmp_path / "buckets"
    limits.mkdir()
    for n in range(9):
        (buckets / str(n)).mkdir(parents=True)

    def watched(watches: int, instances: int = 128) -> list[Finding]:
        (limits / "max_user_watches").write_text(f"{watches}\n")
        (limits / "max_user_instances").write_text(f"{instances}\n")
        return list(machine.inotify(buckets, limits))

    too_few = only(watched(9))
    assert too_few.level is Level.ERROR
    assert too_few.fix == "raise it: sysctl fs.inotify.max_user_watches=40"
    assert only(watched(11)).level is Level.WARNING
    assert only(watched(1000)).level is Level.OK
    assert [one.fix for one in watched(1000, 2)][1:] == ["raise it: sysctl fs.inotify.max_user_instances=128"]


def test_a_system_without_inotify_lacks_nothing(tmp_path: Path) -> None:
    assert only(list(machine.inotify(tmp_path, tmp_path / "none"))).level is Level.OK
