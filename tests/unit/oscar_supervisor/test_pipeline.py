"""One attempt from job to report, with a script that is a Python function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oscar_events.job import FailureClass, InputObject, Outcome, Output, Report
from oscar_supervisor.desk import Desk
from oscar_supervisor.interruption import AbandonedError, Interruption
from oscar_supervisor.pipeline import AttemptEnd, run_attempt
from oscar_supervisor.runner import Command, EndedBy, Runner, ScriptEnd
from tests.unit.oscar_supervisor.jobs import job

Script = Callable[[dict[str, str]], int | None]


class FunctionRunner(Runner):
    """Calls a function with the script's environment; what it returns is the exit code."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.runs = 0

    def run(self, command: Command, interruption: Interruption, on_start: Callable[[int, float], None]) -> ScriptEnd:
        self.runs += 1
        on_start(os.getpid(), 1.0)
        environment = {os.fsdecode(name): os.fsdecode(value) for name, value in command.environment.items()}
        code = self._script(environment) or 0
        return ScriptEnd(exit_code=code, signal=None, by=EndedBy.ITSELF, started_at=1.0, ended_at=2.0, log=b"printed\n")


class Wishes(Interruption):
    """Says what it is set to; `abandon_after`: the dispatcher goes after that many questions."""

    def __init__(self) -> None:
        self.cancelled = False
        self.abandon_after: int | None = None

    def fileno(self) -> int:
        raise AssertionError("nobody waits here")

    def check(self) -> bool:
        if self.abandon_after is not None:
            if self.abandon_after == 0:
                raise AbandonedError("gone")
            self.abandon_after -= 1
        return self.cancelled


class Platform:
    """Buckets, and attempts at them."""

    def __init__(self, directory: Path) -> None:
        self.buckets = directory / "buckets"
        self.jobs = directory / "jobs"
        self.wishes = Wishes()
        self.runner = FunctionRunner(lambda environment: None)
        (self.buckets / "in").mkdir(parents=True)
        self.jobs.mkdir()
        self.storage = {"local": {"type": "local", "root": str(self.buckets), "staging": str(directory / "staging")}}

    def run(self, script: Script, /, **fields: Any) -> AttemptEnd:
        self.runner = FunctionRunner(script)
        what = job(**{"storage": self.storage, "outputs": (Output(provider="local", bucket="out"),), **fields})
        return run_attempt(
            what, self.jobs, Desk(self.jobs.with_name(".spare")), self.runner, self.wishes, lambda pid, at: None
        )

    def report(self, script: Script, /, **fields: Any) -> Report:
        return self.run(script, **fields).report

    def results(self) -> set[str]:
        out = self.buckets / "out"
        return {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def nothing(environment: dict[str, str]) -> None:
    """Be a script that does nothing."""


def writing(*names: str) -> Script:
    def script(environment: dict[str, str]) -> None:
        for name in names:
            file = Path(environment["TMP_OUTPUT_DIR"], name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.fsencode(name))

    return script


def test_an_input_becomes_an_output(platform: Platform) -> None:
    (platform.buckets / "in" / "cat.txt").write_text("meow")

    def upper(environment: dict[str, str]) -> None:
        text = Path(environment["INPUT_FILE_PATH"]).read_text()
        Path(environment["TMP_OUTPUT_DIR"], "CAT.txt").write_text(text.upper())

    report = platform.report(upper, input=InputObject(provider="local", bucket="in", key=b"cat.txt"))
    assert (platform.buckets / "out" / "CAT.txt").read_text() == "MEOW"
    assert (report.outcome, report.exit_code, report.started_at, report.ended_at) == (Outcome.SUCCEEDED, 0, 1.0, 2.0)
    assert [(output.bucket, output.key, output.size) for output in report.outputs] == [("out", "CAT.txt", 4)]


def test_hidden_files_and_sub_folders_become_outputs_and_empty_folders_do_not(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        writing(".hidden", "a/b/c.txt", "d.txt")(environment)
        Path(environment["TMP_OUTPUT_DIR"], "empty").mkdir()

    platform.run(script)
    assert platform.results() == {".hidden", "a/b/c.txt", "d.txt"}
    assert not (platform.buckets / "out" / "empty").exists()


def test_one_file_may_go_to_several_outputs(platform: Platform) -> None:
    outputs = (
        Output(provider="local", bucket="out", folder="texts", suffix=("txt",)),
        Output(provider="local", bucket="out", folder="all/of/them"),
    )
    report = platform.report(writing("a.txt", "b.png"), outputs=outputs)
    assert platform.results() == {"texts/a.txt", "all/of/them/a.txt", "all/of/them/b.png"}
    assert len(report.outputs) == 3


def test_names_that_are_not_utf_8_are_put_as_they_are_and_reported_readably(platform: Platform) -> None:
    report = platform.report(writing(os.fsdecode(b"caf\xe9")))
    assert os.listdir(os.fsencode(platform.buckets / "out")) == [b"caf\xe9"]
    assert report.outputs[0].key == "caf\\xe9"


def test_a_report_names_the_first_outputs_of_very_many(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    each = len(msgspec.json.encode(platform.report(writing("aaaa")).outputs[0]))
    monkeypatch.setattr("oscar_supervisor.pipeline._REPORTED_BYTES", 2 * each)
    report = platform.report(writing("aaaa", "bbbb", "cccc", "d"))
    assert platform.results() == {"aaaa", "bbbb", "cccc", "d"}
    assert [output.key for output in report.outputs] == ["aaaa", "bbbb"]


def test_outputs_deeper_than_any_key_are_the_scripts_fault(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        Path(environment["TMP_OUTPUT_DIR"], "d/" * 600).mkdir(parents=True)

    report = platform.report(script)
    assert (report.failure, report.reason) == (FailureClass.USER, "TMP_OUTPUT_DIR holds folders more than 512 deep")


def test_a_script_that_failed_publishes_nothing(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> int:
        writing("a")(environment)
        return 3

    end = platform.run(script)
    assert (end.report.outcome, end.report.failure, end.report.exit_code) == (Outcome.FAILED, FailureClass.USER, 3)
    assert end.report.reason == "the script ended with exit code 3"
    assert end.log == b"printed\n"
    assert platform.results() == set()


def test_links_inside_are_files_and_links_to_outside_are_named_and_left(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    def script(environment: dict[str, str]) -> None:
        out = Path(environment["TMP_OUTPUT_DIR"])
        (out / "real").write_text("real")
        (out / "inside").symlink_to("real")
        (out / "chain").symlink_to("inside")
        (out / "outside").symlink_to(tmp_path / "secret")
        (out / "folder-outside").symlink_to(tmp_path)
        (out / "itself").symlink_to("itself")
        (out / "nowhere").symlink_to("nothing")
        (out / "here").symlink_to(".")

    end = platform.run(script)
    assert end.report.outcome is Outcome.SUCCEEDED
    assert platform.results() == {"real", "inside", "chain"}
    assert (platform.buckets / "out" / "chain").read_text() == "real"
    for name in ("outside", "folder-outside", "itself", "nowhere", "here"):
        assert f"'{name}' is a link that ends at no file" in end.log.decode()


def test_fifos_and_sockets_are_passed_over_and_block_nobody(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        os.mkfifo(Path(environment["TMP_OUTPUT_DIR"], "fifo"))
        writing("file")(environment)

    end = platform.run(script)
    assert platform.results() == {"file"}
    assert b"'fifo' is no regular file" in end.log


def test_two_files_that_would_be_one_object_are_the_users_to_name_apart(platform: Platform) -> None:
    report = platform.report(writing("a", "a "))
    assert (report.failure, platform.results()) == (FailureClass.USER, set())
    assert report.reason == "the outputs 'a' and 'a ' would both become out/a"


@pytest.mark.parametrize(
    ("fields", "failure", "reason"),
    [
        ({"input": InputObject(provider="local", bucket="in", key=b"a")}, FailureClass.PERMANENT, "in/a is gone"),
        (
            {"input": InputObject(provider="local", bucket="in", key=b"../a")},
            FailureClass.PERMANENT,
            "cannot be a path",
        ),
        ({"input": InputObject(provider="s3.x", bucket="in", key=b"a")}, FailureClass.PERMANENT, "s3.x"),
        ({"outputs": (Output(provider="s3.x", bucket="b"),)}, FailureClass.PERMANENT, "s3.x"),
        ({"script": ""}, FailureClass.PERMANENT, "has no script"),
        ({"environment": {"A": "\0"}}, FailureClass.PERMANENT, "variable 'A'"),
    ],
)
def test_what_can_never_work_ends_before_the_script_starts(
    platform: Platform, fields: dict[str, Any], failure: FailureClass, reason: str
) -> None:
    report = platform.report(nothing, **fields)
    assert (report.outcome, report.failure, report.exit_code) == (Outcome.FAILED, failure, None)
    assert reason in report.reason
    assert platform.runner.runs == 0


def test_an_output_that_stands_in_the_way_of_a_folder_is_permanent_and_the_ones_before_are_reported(
    platform: Platform,
) -> None:
    (platform.buckets / "out").mkdir()
    (platform.buckets / "out" / "b").write_text("a file")
    report = platform.report(writing("a", "b/c"))
    assert report.failure is FailureClass.PERMANENT
    assert [output.key for output in report.outputs] == ["a"]


def test_an_error_nobody_foresaw_is_reported_as_nobodys_fault(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        raise ZeroDivisionError("of the runner")

    report = platform.report(script)
    assert (report.failure, report.reason) == (FailureClass.INFRASTRUCTURE, "ZeroDivisionError: of the runner")


def test_cancel_before_stage_out_publishes_nothing(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        writing("a")(environment)
        platform.wishes.cancelled = True

    report = platform.report(script)
    assert (report.outcome, report.failure, platform.results()) == (Outcome.CANCELLED, None, set())


def test_cancel_during_stage_out_comes_too_late_and_the_report_says_what_is_true(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def cancel_then_rename(*arguments: Any, **keywords: Any) -> None:
        platform.wishes.cancelled = True
        rename(*arguments, **keywords)

    monkeypatch.setattr(os, "rename", cancel_then_rename)
    report = platform.report(writing("a", "b"))
    assert (report.outcome, platform.results()) == (Outcome.SUCCEEDED, {"a", "b"})


def test_when_nobody_waits_any_more_nothing_more_is_published(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        writing("a", "b")(environment)
        platform.wishes.abandon_after = 3  # before stage-out; a's content; a's rename

    with pytest.raises(AbandonedError):
        platform.run(script)
    assert platform.results() == {"a"}


def test_what_an_earlier_attempt_left_is_gone_before_the_script_starts(platform: Platform) -> None:
    (platform.jobs / "1" / "output").mkdir(parents=True)
    (platform.jobs / "1" / "output" / "old").write_text("old")
    (platform.jobs / "log").write_text("old")
    (platform.jobs / "lock").write_text("kept")
    assert platform.report(nothing, attempt=2).outcome is Outcome.SUCCEEDED
    assert [file.name for file in platform.jobs.iterdir()] == ["lock"]
    assert platform.results() == set()


def test_an_event_that_is_a_message_is_itself_the_input(platform: Platform) -> None:
    def script(environment: dict[str, str]) -> None:
        file = Path(environment["INPUT_FILE_PATH"])
        assert file == Path(environment["TMP_INPUT_DIR"], "event-file-execution")
        assert "STORAGE_OBJECT_KEY" not in environment
        Path(environment["TMP_OUTPUT_DIR"], "copy").write_bytes(file.read_bytes())

    for event, content in ((b'{"a":  1}', b'{"a":  1}'), (b"aXQgd29ya3Mh", b"it works!"), (b"", b"")):
        report = platform.report(script, event=event, stage_event=True)
        assert (report.outcome, report.reason) == (Outcome.SUCCEEDED, "")
        assert (platform.buckets / "out" / "copy").read_bytes() == content


def test_a_script_in_another_encoding_runs_as_it_is(platform: Platform) -> None:
    seen: list[bytes] = []

    def script(environment: dict[str, str]) -> None:
        seen.append(Path(environment["EVENT_FILE"]).with_name("script.sh").read_bytes())

    platform.run(script, script=os.fsdecode(b"# caf\xe9"))
    assert seen == [b"# caf\xe9"]
