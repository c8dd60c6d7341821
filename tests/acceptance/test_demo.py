"""The demo on a bare machine: it shows what it promises, and fails when the results are not right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.platform import COPY, RunningPlatform, oscar_events


def test_the_demo_makes_every_picture_grey_and_says_where(tmp_path: Path) -> None:
    ended = oscar_events("demo", "--data", tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    results = tmp_path / "buckets/pictures/grey"
    assert sorted(path.name for path in results.iterdir()) == [f"picture-{number}.png" for number in range(1, 9)]
    assert str(results) in ended.stdout
    for step in ("seen after", "started after", "finished after"):
        assert len(re.findall(rf"picture-\d\.png: {step} \d+ ms", ended.stdout)) == 8
    assert ended.stdout.count("succeeded, result right") == 8


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (COPY, "result wrong: it is not grey"),
        ("true", "result 0 results instead of one"),
        ("exit 1", "result 0 results instead of one"),
        ('head -c 200 "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/a.png"', "result wrong: "),
    ],
    ids=["copies", "does nothing", "fails", "writes rubbish"],
)
def test_a_demo_whose_script_does_something_else_fails(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "script.sh").write_text(script)
    ended = oscar_events("demo", "--data", tmp_path / "data", "--pictures", "2", "--script", tmp_path / "script.sh")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout.count(said) == 2
    assert "0 of 2 results are there and right" in ended.stdout


def test_results_of_an_earlier_demo_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("true")
    arguments = ("demo", "--data", tmp_path / "data", "--pictures", "1")
    assert oscar_events(*arguments).returncode == 0
    assert oscar_events(*arguments, "--script", tmp_path / "script.sh").returncode == 1
    assert oscar_events(*arguments).returncode == 0


def test_a_demo_without_keep_leaves_nothing(tmp_path: Path) -> None:
    ended = oscar_events("demo", "--pictures", "1", "--no-keep")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [inputs] = re.findall(r"pictures? in (\S+)", ended.stdout)
    assert not Path(inputs).parents[2].exists()
    assert "results:" not in ended.stdout, "nothing is told of what is gone"


def test_a_demo_in_a_directory_in_use_is_refused_in_one_line(platform: RunningPlatform) -> None:
    refused = platform.ask("demo")
    assert refused.returncode == 5
    assert "is in use by process" in refused.stderr
    assert refused.stderr.count("\n") == 1
