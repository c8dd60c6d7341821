"""`oscar-events ledger upgrade` and `check`: what they print, and the codes they end with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testbed.postgres import PASSWORD, PostgresServer

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(tmp_path: Path, ledger_url: str) -> Ask:
    def run(*words: str, url: str = ledger_url) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("oscar-events"), "--data", tmp_path, "ledger", *words],
            env={
                "PATH": os.defpath,
                "OSCAR_EVENTS_LEDGER__URL": url,
                "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",  # configured, and not asked
            },
            capture_output=True,
            text=True,
        )
        told = done.stdout + done.stderr
        assert PASSWORD not in told
        assert "Traceback" not in told
        return done.returncode, told

    return run


def test_a_database_is_checked_upgraded_and_fit(ask: Ask) -> None:
    code, told = ask("check")
    assert code == 1
    assert "it has no ledger yet; run `oscar-events ledger upgrade`" in told
    code, told = ask("upgrade")
    assert (code, told.startswith("the tables are up to date: migration none -> ")) == (0, True)
    assert ask("upgrade")[1].startswith("the tables were up to date")
    code, told = ask("check", "--json")
    state = json.loads(told)
    assert (code, state["unfit"], state["synchronous_commit"]) == (0, [], "on")
    assert state["migration"] == state["newest_migration"]
    assert {"executions", "events", "queue"} <= {table["name"] for table in state["tables"]}


@pytest.mark.parametrize(
    ("word", "expected"),
    [("wrong password", (2, "password authentication failed")), ("nobody there", (5, "cannot be reached"))],
)
def test_a_database_that_cannot_be_asked_is_told_with_its_code(
    ask: Ask, ledger_url: str, postgres: PostgresServer, word: str, expected: tuple[int, str]
) -> None:
    url = (
        ledger_url.replace(PASSWORD, "wrong")
        if word == "wrong password"
        else ledger_url.replace(f":{postgres.port}/", ":1/")
    )
    code, told = ask("check", url=url)
    assert (code, expected[1] in told) == (expected[0], True), told
    assert ask("upgrade", url=url)[0] == expected[0]


def test_a_newer_ledger_is_not_upgraded(ask: Ask, postgres: PostgresServer, ledger_url: str) -> None:
    ask("upgrade")
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", ledger_url.rpartition("/")[2])
    code, told = ask("upgrade")
    assert code == 2
    assert "install the newer version" in told


def test_the_group_alone_checks(ask: Ask) -> None:
    assert ask() == ask("check")
