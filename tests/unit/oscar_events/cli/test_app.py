"""What every command has in common: where the data is, how an error ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oscar_events import errors
from oscar_events.cli import app
from oscar_events.cli.exit_codes import MEANINGS, ExitCode, exit_code
from oscar_events.cli.options import DATA_VARIABLE, default_directory


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["oscar-events", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), 2),
        (errors.ServiceError("a", "b", "c"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.ConflictError("x"), 4),
        (errors.MoveRefusedError("x"), 4),
        (errors.UnavailableError("x"), 5),
        (errors.InUseError("x"), 5),
        (errors.LedgerError("x"), 5),
        (errors.FencedError("x"), 1),
        (errors.OscarEventsError("x"), 1),
    ],
)
def test_which_error_ends_with_which_code(error: errors.OscarEventsError, code: int) -> None:
    assert exit_code(error) == code


def test_every_code_has_a_meaning_and_help_tells_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert run(monkeypatch, "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    for code in ExitCode:
        assert f"{code} {MEANINGS[code]}" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "{}", "runs", "--json"],
        ["runs", "--data", "{}", "--json"],
        ["runs", "--data", "{}", "list", "--json"],
        ["runs", "list", "--json", "--data", "{}"],
        ["--data", "nowhere", "runs", "list", "--json", "--data", "{}"],  # the nearest counts
    ],
)
def test_the_directory_may_stand_before_or_after_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "lock").touch()
    assert run(monkeypatch, *(argument.format(tmp_path) for argument in arguments)) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("group", "empty"),
    [
        ("services", "No services; `apply` a service file."),
        ("runs", "No runs."),
        ("deadletters", "No dead letters."),
        ("quarantine", "Nothing in quarantine."),
        ("replay", "No replays."),
    ],
)
def test_a_group_without_a_command_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, group: str, empty: str
) -> None:
    (tmp_path / "lock").touch()
    assert run(monkeypatch, "--data", str(tmp_path), group) == 0
    assert capsys.readouterr().out == f"{empty}\n"
    assert run(monkeypatch, "--data", str(tmp_path), group, "--json") == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("group", ["deadletters", "quarantine"])
def test_a_dry_run_says_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, group: str
) -> None:
    (tmp_path / "lock").touch()
    for command, done in (("redrive", "sent again"), ("purge", "purged")):
        assert run(monkeypatch, "--data", str(tmp_path), group, command, "--all", "--dry-run") == 0
        assert capsys.readouterr().out.splitlines()[1:] == [f"nothing was done; 0 would be {done}"]
        assert run(monkeypatch, "--data", str(tmp_path), group, command, "--all", "--dry-run", "--json") == 0
        assert capsys.readouterr().out == "[]\n"


def test_the_demo_says_where_it_works_unless_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "demo", "--help") == 0
    told = capsys.readouterr().out
    assert "a fresh temporary directory" in told
    assert "OSCAR_EVENTS_DATA" not in told


def test_the_directory_may_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "lock").touch()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert run(monkeypatch, "services", "list", "--json") == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("home", ["", "relative", "/nonexistent"])
def test_without_a_usable_home_the_data_goes_below_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    assert default_directory() == Path("oscar-events-data")


def test_with_a_home_the_data_goes_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".local/share/oscar-events"


def test_an_expected_error_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--data", str(tmp_path), "runs") == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_of_several_expected_errors_at_once_the_first_is_told_and_a_defect_is_not_hidden() -> None:
    first, second = errors.InUseError("first"), errors.BusError("second")
    assert app._expected(ExceptionGroup("", [ExceptionGroup("", [first]), second])) is first
    assert app._expected(ExceptionGroup("", [first, ValueError("a defect")])) is None


def test_help_names_no_type_for_what_has_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ([], ["runs"], ["deadletters", "redrive"]):
        assert run(monkeypatch, *command, "--help") == 0
        assert "bool" not in capsys.readouterr().out


def test_the_command_line_imports_no_client_of_broker_database_or_store_and_no_model() -> None:
    script = """
import sys
from oscar_events.cli import app
app._command()
print(*sorted(name for name in ("aiokafka", "asyncpg", "faststream", "miniopy_async", "pydantic", "sqlalchemy")
              if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_what_a_command_asks_for_is_called_in_capitals_in_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "backfill", "--help") == 0
    told = capsys.readouterr().out
    assert "SERVICE" in told
    assert "{service}" not in told
