"""Why, events, doctor and completion, as people use them: the real command, with a platform running and without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.platform import (
    COMMAND,
    COPY,
    DEADLINE_S,
    RunningPlatform,
    clean_environment,
    oscar_events,
    until,
)


def told(platform: RunningPlatform, name: str) -> dict[str, Any]:
    asked = platform.ask("why", name, "--json")
    assert asked.returncode == 0, asked.stderr
    return dict(json.loads(asked.stdout))


def test_why_tells_of_a_run_of_no_run_and_of_nothing_with_a_platform_and_without(platform: RunningPlatform) -> None:
    platform.apply("fails", "echo this went wrong >&2; exit 7")
    platform.drop("a.txt")
    run = platform.run_in("dead")
    service = platform.data.with_name("pictures.json")
    document = json.loads(platform.data.with_name("fails.yaml").read_text())
    document |= {"name": "pictures", "input": [{"storage_provider": "local", "path": "pics/in", "suffix": ".png"}]}
    service.write_text(json.dumps(document))
    assert platform.ask("apply", service).returncode == 0
    platform.drop("b.txt")
    until(lambda: told(platform, "pics/in/b.txt")["events"], "the second file is seen")
    until(lambda: len(platform.runs("--state", "dead")) == 2, "both have run")

    def check() -> None:
        first = platform.ask("why", "pics/in/a.txt").stdout
        assert f"fails: dead, run {run['id']}" in first
        assert "attempt 1: failed, exit code 7, user" in first
        assert "| this went wrong" in first
        assert "pictures: not started: suffix '.png' is wanted" in platform.ask("why", "pics/in/b.txt").stdout
        by_path = platform.ask("why", str(platform.data / "buckets/pics/in/b.txt")).stdout
        assert by_path == platform.ask("why", "pics/in/b.txt").stdout
        nothing = platform.ask("why", "pics/in/c.txt").stdout
        assert "no event of it is known" in nothing
        assert "there is no file" in nothing
        listed = platform.ask("events", "--bucket", "pics").stdout.splitlines()
        assert len(listed) == 2
        assert f"fails dead ({run['id']})" in listed[0]
        as_json = json.loads(platform.ask("events", "--bucket", "pics", "--json").stdout)
        assert [row["key"] for row in as_json] == ["in/a.txt", "in/b.txt"]

    check()
    assert platform.stop() == 0
    check()
    assert "no platform runs on this directory" in platform.ask("why", "pics/in/c.txt").stdout


def test_names_that_are_no_text_are_asked_for_as_they_are(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)
    name = os.fsdecode(b"odd \xff %41+\n.txt")
    platform.drop(name)
    until(lambda: platform.runs("--state", "succeeded"), "it has run")
    answer = told(platform, f"pics/in/{name}")
    assert [one["verdict"] for one in answer["events"][0]["services"]] == ["started"]
    assert platform.ask("why", "no-object").returncode == 2


def test_events_are_followed_as_they_come(platform: RunningPlatform) -> None:
    platform.apply("quiet", "true")  # a result would be an event too
    follower = subprocess.Popen(
        [COMMAND, "--data", platform.data, "events", "--follow", "--json"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout is not None
        for name in ("a.txt", "b.txt"):
            platform.drop(name)
            assert json.loads(follower.stdout.readline())["key"] == f"in/{name}"
    finally:
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=DEADLINE_S)
    assert follower.returncode == 130
    platform.stop()
    assert platform.ask("events", "--follow").returncode == 5  # nothing will come


def test_the_doctor_finds_a_platform_well_stopped_killed_and_stuck(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)

    def findings() -> tuple[int, dict[str, dict[str, str]]]:
        asked = platform.ask("doctor", "--json")
        found = [one for one in json.loads(asked.stdout) if one["level"] != "ok"]
        assert all(one["fix"] for one in found)
        return asked.returncode, {one["check"]: one for one in found}

    assert findings() == (0, {})
    (platform.data / "buckets/pics/in").rmdir()
    code, found = findings()
    assert (code, set(found)) == (1, {"buckets"})
    assert "mkdir -p" in platform.ask("doctor").stdout
    (platform.data / "buckets/pics/in").mkdir()
    platform.stop(signal.SIGKILL)
    code, found = findings()
    assert (code, set(found)) == (0, {"leftovers"})
    platform.start()
    assert findings() == (0, {})
    assert platform.stop() == 0
    assert findings() == (0, {})


def test_the_doctor_names_what_is_no_data_directory(tmp_path: Path) -> None:
    asked = oscar_events("--data", tmp_path, "doctor")
    assert asked.returncode == 1
    assert "was never a data directory" in asked.stdout
    assert list(tmp_path.iterdir()) == []


def completed(platform: RunningPlatform, *words: str) -> list[str]:
    """Return what bash is offered for the last of the words."""
    line = ["oscar-events", "--data", str(platform.data), *words]
    environment = {
        **clean_environment(),
        "_OSCAR_EVENTS_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    asked = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert asked.stderr == ""
    return asked.stdout.split()


def offers(platform: RunningPlatform, words: tuple[str, ...], offered: list[str]) -> bool:
    return completed(platform, *words) == offered


def test_the_shell_completes_what_the_platform_knows_and_is_silent_without_one(platform: RunningPlatform) -> None:
    platform.apply("copy", "exit 1")
    platform.apply("other", COPY, bucket="other")
    platform.drop("a.txt")
    run = platform.run_in("dead")["id"]
    # A Tab that the platform does not answer within a second offers nothing: on a busy machine one presses it again.
    for words, offered in (
        (("services", "show", "co"), ["copy"]),
        (("runs", "--service", "o"), ["other"]),
        (("runs", "show", run[:3]), [run]),
        (("logs", ""), [run]),
        (("deadletters", "show", ""), [run]),
        (("runs", "--state", "su"), ["submitted", "succeeded", "superseded"]),
    ):
        until(partial(offers, platform, words, offered), f"{words} offers {offered}")
    assert "doctor" in completed(platform, "do")
    platform.stop(signal.SIGKILL)  # up.json is still there
    assert completed(platform, "services", "show", "co") == []
    # typer looks which shell started it; under make or cron there is none that completes, so the test names one.
    environment = {**clean_environment(), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [str(COMMAND), "--show-completion", "bash"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "_OSCAR_EVENTS_COMPLETE" in script.stdout


def test_the_version_is_a_command_and_an_option() -> None:
    assert oscar_events("--version").stdout == oscar_events("version").stdout
    assert oscar_events("--version").stdout.startswith("oscar-events ")
