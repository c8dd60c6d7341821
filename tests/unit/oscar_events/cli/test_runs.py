"""How runs are listed for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from oscar_events.cli import app, runs
from oscar_events.cli.platform import Platform


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command in this process, which must end well; return what it printed."""
    monkeypatch.setattr(sys, "argv", ["oscar-events", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_of_a_service_that_never_was_it_is_said_with_the_name_that_is_near(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, data = tmp_path / "blur.yaml", str(tmp_path / "data")
    file.write_text("name: blur\nimage: busybox\nscript: cp a b\n")
    listed(monkeypatch, capsys, "--data", data, "apply", str(file))
    of = ("--data", data, "runs", "list", "--service")
    assert listed(monkeypatch, capsys, *of, "blurr") == "No runs: there is no service blurr; did you mean blur?\n"
    assert listed(monkeypatch, capsys, *of, "zzz") == "No runs: there is no service zzz.\n"
    assert listed(monkeypatch, capsys, *of, "blurr", "--json") == "[]\n"
    assert listed(monkeypatch, capsys, *of, "blur") == "No runs.\n"


async def test_a_deleted_service_is_known_as_long_as_it_has_runs() -> None:
    class OnlyRunsOfGone:
        async def services(self) -> list[dict[str, Any]]:
            return []

        async def runs(self, *, service: str, limit: int) -> list[dict[str, Any]]:
            return [RUN] if service == "gone" else []

    platform = cast(Platform, OnlyRunsOfGone())
    assert await runs._no_runs(platform, "gone") == "No runs."  # of the state that was asked for
    assert await runs._no_runs(platform, "never") == "No runs: there is no service never."


RUN: dict[str, Any] = {
    "id": "r1",
    "service": "blur",
    "state": "pending",
    "attempt": 2,
    "bucket": "pics",
    "key": "in/a.png",
    "created_at": "2026-11-20T12:00:00.000Z",
    "started_at": None,
    "ended_at": None,
    "exit_code": 127,
    "reason": "",
}


def test_the_exit_code_of_the_attempt_before_does_not_stand_beside_the_one_that_is_awaited() -> None:
    assert "127" not in runs._row(RUN)
    assert "127" in runs._row({**RUN, "state": "dead"})
