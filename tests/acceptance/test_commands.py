"""The command line as people and scripts use it, with a platform running and without."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.platform import (
    COMMAND,
    COPY,
    DEADLINE_S,
    RunningPlatform,
    clean_environment,
    oscar_events,
    until,
)


def test_a_file_dropped_in_the_input_is_processed_and_its_run_told(platform: RunningPlatform) -> None:
    assert platform.apply("copy", COPY).returncode == 0
    result = platform.drop("a b %41.txt", b"content")
    run = platform.run_in("succeeded", "dead")
    assert result.read_bytes() == b"content"
    # Fixed names: others script against them.
    told = {name: run[name] for name in ("service", "tenant", "state", "attempt", "bucket", "key", "exit_code")}
    assert told == {
        "service": "copy",
        "tenant": "default",
        "state": "succeeded",
        "attempt": 1,
        "bucket": "pics",
        "key": "in/a b %41.txt",
        "exit_code": 0,
    }
    assert run["outputs"] == ["pics/out/a b %41.txt"]
    assert {"id", "event_id", "created_at", "started_at", "ended_at", "reason"} <= run.keys()


def test_a_service_that_is_applied_twice_is_updated_and_one_that_is_deleted_starts_nothing(
    platform: RunningPlatform,
) -> None:
    assert "service copy created, revision 1" in platform.apply("copy", COPY).stdout
    assert "service copy unchanged, revision 1" in platform.apply("copy", COPY).stdout
    assert "service copy updated, revision 2" in platform.apply("copy", f"{COPY}; true").stdout
    assert "without its image" in platform.apply("copy", COPY).stderr
    assert "copy" in platform.ask("services", "list").stdout
    assert COPY in platform.ask("services", "show", "copy").stdout
    assert platform.ask("services", "delete", "copy").returncode == 0
    assert json.loads(platform.ask("services", "list", "--json").stdout) == []
    assert platform.ask("services", "delete", "copy").returncode == 3


def test_a_running_script_is_followed_and_cancelled(platform: RunningPlatform) -> None:
    platform.apply("slow", "echo begun; exec sleep 600")
    platform.drop("a.txt")
    run = platform.run_in("running")["id"]
    until(lambda: platform.ask("logs", run).stdout == "begun\n", "the log of the running script is readable")
    followers = [
        subprocess.Popen(
            [COMMAND, "--data", platform.data, *arguments, run], env=clean_environment(), stdout=subprocess.PIPE
        )
        for arguments in (["runs", "follow"], ["logs", "--follow"])
    ]
    cancelled = platform.ask("runs", "cancel", run[:10])
    assert cancelled.returncode == 0, cancelled.stderr
    (of_run, _), (of_log, _) = (follower.communicate(timeout=DEADLINE_S) for follower in followers)
    assert [follower.returncode for follower in followers] == [1, 0]  # a cancelled run has not succeeded
    assert of_run.splitlines()[-1].startswith(b"cancelled")
    assert of_log == b"begun\n"
    assert platform.ask("runs", "cancel", run).returncode == 4


def test_what_a_failed_script_printed_is_kept_byte_by_byte(platform: RunningPlatform) -> None:
    platform.apply("fails", r"printf 'a\377\000z'; exit 7")
    platform.drop("a.txt")
    run = platform.run_in("dead")
    assert run["exit_code"] == 7
    printed = subprocess.run(
        [COMMAND, "logs", "--data", platform.data, run["id"]], env=clean_environment(), capture_output=True, check=True
    )
    assert printed.stdout == b"a\xff\x00z"
    assert platform.ask("runs", "follow", run["id"]).returncode == 1
    shown = platform.ask("runs", "show", run["id"]).stdout
    assert "without its image" in shown
    assert "pics/in/a.txt" in shown


def test_all_commands_but_those_that_wait_work_with_no_platform_running(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)
    platform.drop("a.txt")
    run = platform.run_in("succeeded")["id"]
    assert platform.stop() == 0
    assert [found["id"] for found in platform.runs()] == [run]
    assert platform.ask("runs", "show", run).returncode == 0
    assert platform.ask("runs", "follow", run).returncode == 0  # it has ended: nothing to wait for
    assert platform.ask("logs", run).returncode == 0
    assert platform.apply("second", COPY, bucket="more").returncode == 0
    waiting = platform.ask("runs", "follow")
    assert waiting.returncode == 5
    assert "start it with" in waiting.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_platform_told_to_stop_ends_well_and_takes_up_json_with_it(
    platform: RunningPlatform, number: signal.Signals
) -> None:
    assert platform.up() is not None
    assert platform.stop(number) == 0
    assert platform.up() is None


def test_a_second_platform_on_the_same_directory_is_refused_and_told_whose_it_is(platform: RunningPlatform) -> None:
    up = platform.up()
    assert up is not None
    second = platform.ask("up")
    assert second.returncode == 5
    assert f"in use by process {up['pid']}" in second.stderr
    assert second.stderr.count("\n") == 1


def test_after_a_kill_the_commands_and_the_next_platform_find_their_way(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)
    platform.stop(signal.SIGKILL)
    assert platform.up() is not None  # nobody was left to remove it
    assert platform.runs() == []
    result = platform.drop("a.txt")
    platform.start()
    until(result.exists, "what arrived while it was down is processed")


def test_ctrl_c_ends_a_follower_with_130(platform: RunningPlatform) -> None:
    platform.apply("slow", "exec sleep 600")
    platform.drop("a.txt")
    platform.run_in("running")
    with subprocess.Popen(
        [COMMAND, "--data", platform.data, "runs", "follow"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # As a terminal has it: what a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as follower:
        assert follower.stdout is not None
        assert b"running" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, complaint = follower.communicate(timeout=DEADLINE_S)
    assert (follower.returncode, complaint) == (130, b"")


def test_the_token_keeps_others_out(platform: RunningPlatform) -> None:
    up_file = platform.data / "up.json"
    up_file.write_text(json.dumps({**(platform.up() or {}), "token": "guessed"}))
    refused = platform.ask("runs")
    assert refused.returncode == 1
    assert "the token is missing or wrong" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["runs"], 2, "is no data directory; name one with --data"),
        (["apply", "{}/none.yaml"], 2, "the name of an existing file"),
        (["apply", "{}/wrong.yaml"], 2, "wrong.yaml, line 1: script\n  found:    no script\n"),
        (["--data", "/dev/null", "apply", "{}/right.yaml"], 2, "it is a file; name a directory"),
        (["up", "--port", "70000"], 2, "65535"),
        (["runs", "--limit", "0"], 2, "--limit"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_a_wrong_command_line_file_or_directory_is_told_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "wrong.yaml").write_text("name: a\nimage: busybox\n")
    (tmp_path / "right.yaml").write_text("name: a\nimage: busybox\nscript: 'true'\n")
    data = tmp_path / "data"
    ended = oscar_events("--data", data, *(argument.format(tmp_path) for argument in arguments))
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not data.exists()


def test_a_ledger_of_a_newer_version_is_refused_with_the_remedy(platform: RunningPlatform) -> None:
    platform.stop()
    with closing(sqlite3.connect(platform.data / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = platform.ask("up")
    assert refused.returncode == 2
    assert "install the newer version" in refused.stderr
    assert platform.ask("runs").returncode == 2


def test_the_version_is_told_without_loading_the_platform() -> None:
    told = subprocess.run(
        [COMMAND, "version"],
        env={**clean_environment(), "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("oscar-events ")
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"sqlalchemy", "uvicorn", "starlette", "oscar_events.service", "oscar_events.standalone"}
