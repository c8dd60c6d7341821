"""What people see when a service file is wrong: where, what was found, what is expected, and the lines that mend it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oscar_events.cli import app
from oscar_events.documents.examine import MAX_TOLD
from oscar_events.errors import ServiceError
from oscar_events.fdl import load_service_file, parse_service_file
from tests.unit.oscar_events.cli.seeded import SCRIPTS, SEEDED, UNFIXABLE, VALID, Seeded

CHANGED_LINE = re.compile(r"  (?P<sign>[-+]) (?P<number>[0-9]+): (?P<text>.*)")


def by_name(mistakes: tuple[Seeded, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mistake", mistakes, ids=[one.name.replace(" ", "-") for one in mistakes])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, text: str) -> str:
    """Apply a file with the command, which must refuse it; return what it tells."""
    (folder / "blur.yaml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["oscar-events", "--data", str(folder / "d"), "apply", str(folder / "blur.yaml")])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    out, told = capsys.readouterr()
    assert out == ""
    return told


def mended(text: str, told: str) -> str:
    """Do to a text what the message says, and nothing else."""
    lines = text.split("\n")
    changes = [match for line in told.splitlines() if (match := CHANGED_LINE.fullmatch(line))]
    for change in reversed([one for one in changes if one["sign"] == "-"]):
        assert lines.pop(int(change["number"]) - 1) == change["text"]
    for change in [one for one in changes if one["sign"] == "+"]:
        lines.insert(int(change["number"]) - 1, change["text"])
    return "\n".join(lines)


def test_there_are_enough_seeded_mistakes_of_each_kind() -> None:
    assert len(SEEDED) >= 40
    assert len(UNFIXABLE) <= 8
    assert len({one.name for one in SEEDED + UNFIXABLE}) == len(SEEDED) + len(UNFIXABLE)


def test_the_file_that_the_mistakes_are_made_in_is_right(folder: Path) -> None:
    [loaded] = parse_service_file(VALID, folder, "blur.yaml")
    assert loaded.warnings == ()


@by_name(SEEDED + UNFIXABLE)
def test_each_mistake_is_told_with_file_line_and_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, mistake: Seeded
) -> None:
    told = refusal(monkeypatch, capsys, folder, mistake.broken)
    field = f": {mistake.field}" if mistake.field else ""
    assert told.splitlines()[0] == f"error: blur.yaml, line {mistake.line}{field}"
    assert re.fullmatch(r"  found:    .+\n  expected: .+(\n  fix:.*)?", "\n".join(told.splitlines()[1:4]))
    for words in mistake.told:
        assert words in told
    assert "canary" not in told


@by_name(SEEDED)
def test_the_file_loads_once_the_printed_fix_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, mistake: Seeded
) -> None:
    told = refusal(monkeypatch, capsys, folder, mistake.broken)
    (folder / "blur.yaml").write_text(mended(mistake.broken, told))
    assert "blur" in [one.service.name.partition("-")[0] for one in load_service_file(folder / "blur.yaml")]


@by_name(UNFIXABLE)
def test_where_no_fix_can_be_known_a_sentence_says_once_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, mistake: Seeded
) -> None:
    told = refusal(monkeypatch, capsys, folder, mistake.broken)
    assert not any(CHANGED_LINE.fullmatch(line) for line in told.splitlines())
    expected = re.search(r"^  expected: (.+)$", told, re.MULTILINE)
    fix = re.search(r"^  fix:      (?:write|correct|rename|remove) (\S.*)$", told, re.MULTILINE)
    assert expected
    assert ("fix:" in told) == (fix is not None)
    assert fix is None or fix[1] != expected[1]


@pytest.mark.parametrize(
    ("variables", "mended_to"),
    [
        ('{ RADIUS: "4 }', '{ RADIUS: "4" }'),
        ('{ RADIUS: "4, B: x }  # ours', '{ RADIUS: "4", B: x }  # ours'),
        ('{A: "1", B: \'2}', "{A: \"1\", B: '2'}"),
        ('{A: "1, B: "2"}', '{A: "1", B: "2"}'),
        ('{A: "1, 2}', None),  # the comma may belong to the text
    ],
)
def test_a_quote_is_closed_in_front_of_what_is_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, variables: str, mended_to: str
) -> None:
    text = VALID.replace('variables:\n            RADIUS: "4"\n            PIN: 0755\n', f"variables: {variables}\n")
    told = refusal(monkeypatch, capsys, folder, text)
    assert told.startswith("error: blur.yaml, line 19: functions.oscar[0].laptop.environment.variables")
    assert "an opening quote without its end" in told
    assert mended(text, told) == (text if mended_to is None else text.replace(variables, mended_to))


@pytest.mark.parametrize(
    ("suffix", "mended_to"),
    [
        ('["a", "b ]', '["a", "b" ]'),
        ('["a, "b"]', '["a", "b"]'),
        ('["a", "b"', '["a", "b"]'),
        ('["a", "b', '["a", "b"]'),
        ('[ "a, b ]', None),
    ],
)
def test_what_a_list_lacks_is_told_at_its_own_line_wherever_the_parser_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, suffix: str, mended_to: str
) -> None:
    text = VALID.replace("[.png, .jpg]", suffix)
    told = refusal(monkeypatch, capsys, folder, text)
    assert told.startswith("error: blur.yaml, line 14: functions.oscar[0].laptop.input[0].suffix\n")
    assert mended(text, told) == (text if mended_to is None else text.replace(suffix, mended_to))


def test_a_quote_that_a_later_one_seemed_to_close_is_closed_on_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    text = VALID.replace("log_level: DEBUG", 'log_level: "DEBUG').replace('RADIUS: "4"', 'RADIUS: "4" # four')
    told = refusal(monkeypatch, capsys, folder, text)
    assert told.startswith("error: blur.yaml, line 10: ")
    assert mended(text, told) == text.replace('"DEBUG', '"DEBUG"')


@pytest.mark.parametrize("item", ['{storage_provider: minio, path: "pics/in }', '{"path": "pics/in}'])
def test_a_quote_in_brackets_that_begin_an_item_is_closed_in_them_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, item: str
) -> None:
    told = refusal(monkeypatch, capsys, folder, f"name: blur\nimage: busybox\nscript: cp a b\ninput:\n- {item}\n")
    assert re.search(r'^  \+ 5: .*"pics/in" ?}$', told, re.MULTILINE)


def test_all_mistakes_are_told_at_once_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    text = VALID.replace("512Mi", "512MB").replace("concurrency: 2", "concurrency: 0").replace("name: blur", "name: B")
    told = refusal(monkeypatch, capsys, folder, text)
    assert re.findall(r"^error: blur\.yaml, line (\d+): ", told, re.MULTILINE) == ["5", "8", "29"]
    assert parse_service_file(mended(text, told), folder, "blur.yaml")[0].service.memory == "512M"


def test_the_mistakes_of_all_files_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "wrong.yaml").write_text(VALID.replace("512Mi", "512MB"))
    (folder / "right.yaml").write_text(VALID)
    (folder / "same.yaml").write_text(VALID)
    files = [str(folder / name) for name in ("wrong.yaml", "gone.yaml", "right.yaml", "same.yaml")]
    monkeypatch.setattr(sys, "argv", ["oscar-events", "--data", str(folder / "d"), "apply", *files])
    with pytest.raises(SystemExit) as ended:
        app.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert re.findall(r"^error: (?:.*/)?(\w+\.yaml)", told, re.MULTILINE) == ["wrong.yaml", "gone.yaml", "same.yaml"]
    assert "+ 8:         memory: 512M\n" in told  # as much as when it is applied alone
    assert "which is also the name of right.yaml: functions.oscar[0].laptop" in told


def test_each_warning_tells_which_service_it_is_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "blur.yaml").write_text("name: blur\nimage: busybox\nscript: 'true'\nmemroy: 1Gi\nenable_gpu: true\n")
    argv = ["oscar-events", "--data", str(folder / "d"), "apply", str(folder / "blur.yaml")]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "  warning: blur.yaml, line 4: memroy: not known here, ignored; did you mean memory?"
    assert second.startswith("  warning: blur: enable_gpu: kept, and not done here: ")


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    wrong = "".join(f"          wrong_{number}: 1\n" for number in range(MAX_TOLD + 5))
    told = refusal(monkeypatch, capsys, folder, VALID.replace("          timeout: 10m\n", wrong))
    assert told.count("error: ") == MAX_TOLD
    assert told.splitlines()[-1] == "and 5 more"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("            DB_PASSWORD: canary-password", "         CODE: canary"),  # as deep as nothing else
        ("            DB_PASSWORD: canary-password", "       CODE: canary"),  # not even below it
        ("secrets:\n            DB_PASSWORD: canary-password", "secrets: # ours\n       CODE: canary"),
        ("secrets:\n            DB_PASSWORD: canary-password", "secrets: {CODE: canary"),
        ("DB_PASSWORD: canary-password", "CODE: canary: canary"),
        ("secrets:\n            DB_PASSWORD: canary-password", "secrets: [CODE=canary]"),
        ("s3:\n            archive:", "s3:\n          archive:"),
        ("region: eu-west-1}", "region: eu-west-1"),
        ("        environment:", "        environment"),
    ],
)
def test_a_fix_does_not_repeat_a_secret_that_stands_in_its_lines(folder: Path, old: str, new: str) -> None:
    assert old in VALID
    with pytest.raises(ServiceError) as caught:
        parse_service_file(VALID.replace(old, new), folder, "blur.yaml")
    assert caught.value.report.startswith("error: blur.yaml, line ")
    assert "canary" not in caught.value.report + str(caught.value)


# Mutations of one character or line, and of two, as editors and merges make them.
_LINES = VALID.splitlines(keepends=True)
_position = st.integers(0, len(VALID) - 1)
_line = st.integers(0, len(_LINES) - 1)
_deleted = st.builds(lambda at: "".join(_LINES[:at] + _LINES[at + 1 :]), _line)
_inserted = st.builds(
    lambda at, sign: VALID[:at] + sign + VALID[at:], _position, st.sampled_from([*"{}[]:,-#&*!|>'\"%@\t \n\\\0", "é"])
)
_removed = st.builds(lambda at: VALID[:at] + VALID[at + 1 :], _position)


@st.composite
def _swapped(draw: st.DrawFn) -> str:
    lines, one, other = [*_LINES], draw(_line), draw(_line)
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=_deleted | _inserted | _removed | _swapped())
def test_a_damaged_file_gives_services_or_an_error_that_shows_no_secret(folder: Path, text: str) -> None:
    told = ""
    try:
        assert parse_service_file(text, folder, "blur.yaml")
    except ServiceError as error:
        told = f"{error.report}\n{error}"
    assert "canary" not in told
    assert told == "" or told.startswith("error: blur.yaml, line ")
