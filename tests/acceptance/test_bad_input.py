"""Every command with something wrong: what is wrong and what to do about it is said, and nothing is lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.platform import COPY, RunningPlatform, oscar_events, running_platform, until

SERVICE = {
    "name": "copy",
    "image": "busybox",
    "script": COPY,
    "input": [{"storage_provider": "local", "path": "pics/in"}],
}
APPLY = "apply"  # followed by a file that is right
QUESTIONS: tuple[tuple[str, ...], ...] = (
    (APPLY,),
    ("services", "list"),
    ("services", "show", "copy"),
    ("services", "delete", "copy"),
    ("runs", "list"),
    ("runs", "show", "x"),
    ("runs", "cancel", "x"),
    ("logs", "x"),
    ("why", "pics/in/a"),
    ("events",),
    ("deadletters", "list"),
    ("deadletters", "show", "x"),
    ("deadletters", "redrive", "x"),
    ("deadletters", "purge", "x"),
    ("quarantine", "list"),
    ("quarantine", "show", "0-0"),
    ("quarantine", "redrive", "0-0"),
    ("quarantine", "purge", "0-0"),
    ("replay", "--from", "1h", "--service", "copy"),
)
# Those that meet the directory each in their own way; the rest goes the same road (cli/platform.py).
SOME = (QUESTIONS[0], QUESTIONS[4], QUESTIONS[8], QUESTIONS[14])


def named(question: tuple[str, ...]) -> str:
    return " ".join(question)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    file = tmp_path / "copy.json"
    file.write_text(json.dumps(SERVICE))
    return file


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory in which a service has been applied, to be copied."""
    folder = tmp_path_factory.mktemp("first")
    file = folder / "copy.json"
    file.write_text(json.dumps(SERVICE))
    assert oscar_events("--data", folder / "data", "services", "list").returncode == 2  # a question makes none
    assert oscar_events("--data", folder / "data", "apply", file).returncode == 0
    return folder / "data"


@pytest.fixture
def data(tmp_path: Path, first: Path) -> Path:
    """Return a data directory in which a service has been applied."""
    return shutil.copytree(first, tmp_path / "data")


def asked(data: Path, question: tuple[str, ...], service: Path) -> subprocess.CompletedProcess[str]:
    return oscar_events("--data", data, *question, *([service] if question == (APPLY,) else []))


def only_line(answer: subprocess.CompletedProcess[str]) -> str:
    """Return what is said of the error: one line, and no traceback."""
    assert "Traceback" not in answer.stderr
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("question", QUESTIONS, ids=named)
def test_a_data_directory_that_is_a_file_is_named_with_what_would_be_right(
    tmp_path: Path, service: Path, question: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("mine")
    answer = asked(tmp_path / "file", question, service)
    assert answer.returncode == 2
    assert str(tmp_path / "file") in only_line(answer)
    assert "name" in only_line(answer)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q != (APPLY,)], ids=named)
def test_a_directory_in_which_no_platform_ever_was_is_not_made_one_by_a_question(
    tmp_path: Path, service: Path, question: tuple[str, ...]
) -> None:
    answer = asked(tmp_path / "nowhere", question, service)
    assert answer.returncode == 2
    assert "is no data directory; name one with --data" in only_line(answer)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("question", SOME, ids=named)
@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("ledger.db", "UPDATE alembic_version SET version_num = '9999'"),
        ("log.db", "PRAGMA user_version = 9999"),
    ],
)
def test_a_database_of_a_newer_version_is_left_alone(
    data: Path, service: Path, question: tuple[str, ...], database: str, statement: str
) -> None:
    with closing(sqlite3.connect(data / database, isolation_level=None)) as connection:
        connection.execute(statement)
    answer = asked(data, question, service)
    assert answer.returncode == 2
    assert "newer oscar-events" in only_line(answer)
    assert "install the newer version" in only_line(answer)


@pytest.mark.parametrize("question", SOME, ids=named)
@pytest.mark.parametrize("database", ["ledger.db", "log.db"])
def test_a_file_that_is_no_database_is_named_and_kept(
    data: Path, service: Path, question: tuple[str, ...], database: str
) -> None:
    for left in data.glob(f"{database}*"):
        left.unlink()
    (data / database).write_bytes(b"no database" * 1000)
    answer = asked(data, question, service)
    assert answer.returncode == 2
    assert str(data / database) in only_line(answer)
    assert (data / database).read_bytes() == b"no database" * 1000


@pytest.mark.parametrize("question", [("runs", "list"), ("up",)], ids=named)
def test_a_directory_that_another_process_holds_is_named_with_that_process(
    data: Path, service: Path, question: tuple[str, ...]
) -> None:
    with (data / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        answer = asked(data, question, service)
    assert answer.returncode == 5
    assert f"in use by process {os.getpid()}; stop that one, or name another directory" in only_line(answer)


@pytest.mark.parametrize("question", SOME, ids=named)
def test_a_wrong_token_is_refused_with_where_the_right_one_is(
    platform: RunningPlatform, service: Path, question: tuple[str, ...]
) -> None:
    up = platform.data / "up.json"
    told = json.loads(up.read_text())
    up.write_text(json.dumps({**told, "token": "wrong"}))
    answer = asked(platform.data, question, service)
    up.write_text(json.dumps(told))
    assert answer.returncode == 1
    assert "the token is missing or wrong; it is in up.json" in only_line(answer)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x00\x01\x02", "no text"),
        (b"", "is empty"),
        ("name: \xe9".encode("latin-1"), "not UTF-8"),
        (b"functions: [", "line 1"),
        (b"name: x\n", "image"),
    ],
)
def test_a_service_file_that_is_none_is_named_and_nothing_of_it_is_applied(
    tmp_path: Path, data: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    answer = oscar_events("--data", data, "apply", file)
    assert answer.returncode == 2, answer.stderr
    assert "wrong.yaml" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(json.loads(oscar_events("--data", data, "services", "list", "--json").stdout)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "none", disk], check=False)
    if not mounted or mounted.returncode:
        reason = "a disk that is full needs the right to mount one"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_the_disk(file: Path) -> None:
    """Write to the file until nothing more fits."""
    with file.open("wb", buffering=0) as sink, contextlib.suppress(OSError):
        while sink.write(b"\0" * 65536):
            pass


def test_a_full_disk_is_said_and_what_was_dropped_meanwhile_is_processed_once_there_is_room(
    small_disk: Path, service: Path
) -> None:
    with running_platform(small_disk / "data") as platform:
        assert platform.apply("copy", COPY).returncode == 0
        fill = platform.data / "fill"
        fill_the_disk(fill)
        result = platform.drop("empty", b"")  # an empty file needs a name alone
        answer = platform.ask("apply", service)
        assert answer.returncode in (2, 5), answer.stderr
        assert "full" in only_line(answer) or "No space left" in only_line(answer)
        fill.unlink()
        until(result.exists, "what was dropped while the disk was full is processed")
        assert platform.ask("apply", service).returncode == 0
