"""How what came of an object is said to people."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from oscar_events.cli import events, why
from oscar_events.cli.events import line
from oscar_events.cli.output import moment, print_table, state
from oscar_events.errors import ConfigurationError

NOTHING: dict[str, Any] = {
    "bucket": "pics",
    "key": "in/a.png",
    "since": "2026-11-20T12:00:00.000Z",
    "log": "",
    "object": None,
    "events": [],
    "more_events": 0,
    "has_platform": True,
    "quarantined": [],
    "quarantine_unsearched": 0,
    "problem": "",
    "advice": ["look there"],
    "result_of": None,
    "services": [],
    "elsewhere": 0,
}


def said(**found: Any) -> str:
    return "\n".join(why.lines({**NOTHING, **found}))


def test_of_many_services_the_first_are_named_and_the_rest_counted() -> None:
    services = [{"service": f"s{n}", "takes_it": False, "reason": "no"} for n in range(25)]
    text = said(services=services, elsewhere=1)
    assert "s9: no" in text
    assert "s10: no" not in text
    assert "and 15 more; --json has them all" in text
    assert "1 service has no input in this bucket" in text


def test_what_a_service_would_take_is_said_with_what_it_asks_of_the_size() -> None:
    one = {"service": "blur", "takes_it": True, "reason": "if its size is at most 20Mi"}
    assert "  blur: would take it, if its size is at most 20Mi\n" in said(services=[one, {**one, "reason": ""}]) + "\n"
    assert "  blur: would take it\n" in said(services=[{**one, "reason": ""}]) + "\n"


def test_every_time_is_told_by_the_readers_clock_but_what_is_to_be_copied_and_names_stay() -> None:
    time = "2026-11-20T13:00:00.731Z"
    command = f"to run it: oscar-events replay --from {time} --service blur"
    file = f"there is no file /buckets/pics/{time}"
    [one] = event()["services"]
    reason = f"it fits now, by revision 2 of {time}; {command}"
    answer = {**one, "verdict": "not started", "reason": reason, "runs": []}
    text = said(events=[{**event(), "services": [answer]}], log=f"it begins at {time}")
    assert f"revision 2 of {moment(time)}; {command}" in text
    assert text.endswith(f"it begins at {moment(time)}")
    text = said(advice=[f"the input of service blur was applied, at {time}: such files are left alone", file])
    assert f"was applied, at {moment(time)}: such" in text
    assert file in text


def test_what_the_answer_lacks_is_said() -> None:
    text = said(
        log="it begins at 2026-11-20T13:00:00.000Z",
        quarantined=["0-1", "0-7"],
        quarantine_unsearched=5000,
        problem="config.yaml: broken",
    )
    assert "the oldest messages in quarantine, 5000, were not searched" in text
    assert "no longer reaches back" in text
    assert f"it begins at {moment('2026-11-20T13:00:00.000Z')}" in text
    assert "2 messages in quarantine mention this key: oscar-events quarantine show 0-7" in text
    assert "config.yaml: broken" in text
    assert said().splitlines()[-1] == "  - look there"


RUN: dict[str, Any] = {
    "id": "r1",
    "state": "succeeded",
    "redrive_of": "r0",
    "redriven_as": None,
    "purged_at": None,
    "replay": None,
    "waits": None,
    "attempts": [],
    "reason": "",
    "outputs": ["pics/out/a.png"],
    "log_tail": ["never shown"],
}


def event(**run: Any) -> dict[str, Any]:
    services = [{"service": "blur", "verdict": "started", "reason": "", "runs": [{**RUN, **run}]}]
    return {"id": "e1", "seen": [], "services": services, "elsewhere": 0}


def test_an_event_that_is_no_longer_kept_is_said_with_its_runs() -> None:
    text = said(events=[event()])
    assert "event e1, no longer kept" in text
    assert "blur: succeeded, run r1, sent again for r0" in text
    assert "wrote pics/out/a.png" in text
    assert "never shown" not in text  # of a run that succeeded, nobody asks why


def test_how_a_dead_run_is_sent_again_is_said_until_it_was() -> None:
    command = "oscar-events deadletters redrive r1"
    assert command in said(events=[event(state="dead")])
    assert command not in said(events=[event(state="dead", redriven_as="r2")])
    assert command not in said(events=[event(state="dead", purged_at="2026-11-20T12:00:00.000Z")])
    assert command not in said(events=[event()])


def test_that_nothing_runs_is_said() -> None:
    assert "no platform runs" in said(events=[event()], has_platform=False)
    assert "no platform runs" not in said(events=[event()])


def test_no_id_is_cut_off_and_a_row_is_one_line_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(
        ["RUN", "STATE", "REASON"], [["r" * 26, state("dead"), "two\nlines"], ["\u732b", "", "x" * 300]], "None."
    )
    assert capsys.readouterr().out.splitlines() == [
        f"{'RUN':<26}  STATE  REASON",
        f"{'r' * 26}  dead   two lines",
        f"\u732b{' ' * 24}         {'x' * 300}",
    ]
    print_table(["RUN"], [], "None.")
    assert capsys.readouterr().out == "None.\n"


@pytest.mark.parametrize("name", ["pics", "pics/", "/in/a.png", ""])
def test_what_names_no_object_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="write BUCKET/KEY"):
        why.object_of(name, tmp_path)


def test_an_object_is_named_by_its_file_too(tmp_path: Path) -> None:
    assert why.object_of(f"{tmp_path}/pics/in/a.png", tmp_path) == ("pics", b"in/a.png")
    assert why.object_of("pics/in/a.png", tmp_path) == ("pics", b"in/a.png")
    assert why.object_of("pics//in", tmp_path) == ("pics", b"/in")  # S3 has such keys


def test_an_object_is_named_by_its_file_as_seen_from_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buckets/pics/in").mkdir(parents=True)
    (tmp_path / "buckets/pics/in/a.png").touch()
    monkeypatch.chdir(tmp_path / "buckets/pics")
    there = Path("..")  # as --data may be
    for name in ("in/a.png", "./in/a.png", "../pics/in/a.png", "pics/in/a.png"):
        assert why.object_of(name, there) == ("pics", b"in/a.png")
    assert why.object_of("./in/gone.png", there) == ("pics", b"in/gone.png")
    assert why.object_of("in/gone.png", there) == ("in", b"gone.png")  # no file is named: a bucket and a key


def test_an_event_is_one_line_with_what_it_started() -> None:
    row: dict[str, Any] = {
        "recorded": "2026-11-20T12:00:00.000Z",
        "unreadable": "",
        "source": "folder",
        "action": "created",
        "bucket": "pics",
        "key": "in/a.png",
        "size": 3,
        "runs": [],
        "is_waiting": False,
    }
    assert line(row).endswith("folder     created  pics/in/a.png  3 bytes  no service")
    assert line({**row, "is_waiting": True}).endswith("waiting")
    runs = [{"id": "r1", "service": "blur", "state": "dead"}, {"id": "r2", "service": "grey", "state": "running"}]
    assert line({**row, "runs": runs}).endswith("blur dead (r1), grey running (r2)")
    assert "in quarantine: no JSON" in line({**row, "unreadable": "no JSON"})


def test_a_result_is_said_to_be_one_instead_of_advice_on_how_it_could_have_been_seen() -> None:
    text = said(result_of={"id": "r1", "service": "blur", "ended_at": "2026-11-20T12:00:00.000Z"})
    assert f"result of run r1 of blur, which ended {moment('2026-11-20T12:00:00.000Z')}" in text
    assert "look there" not in text


SEEN = {"time": "2026-11-20T12:00:00.000Z", "source": "minio", "reason": "put"}
KEPT: dict[str, Any] = {"action": "created", "time": SEEN["time"], "size": 3, "version": None}


def test_equal_tellings_of_one_source_are_one_line() -> None:
    others = [{**SEEN, "source": "other"}, {**SEEN, "reason": "listed"}]
    text = said(events=[{**event(), **KEPT, "seen": [SEEN, SEEN, *others]}])
    assert f"  seen {moment(SEEN['time'])} by minio (put), twice\n" in text
    assert text.count("  seen ") == 3
    assert "by minio (put), 3 times" in said(events=[{**event(), **KEPT, "seen": [SEEN] * 3}])


def test_when_the_next_try_is_repeats_no_reason_that_stands_above_it() -> None:
    attempt = {"number": 1, "outcome": "failed", "exit_code": None, "failure": "infrastructure", "reason": "it is away"}
    waits: dict[str, Any] = {"until": "2999-01-01T00:00:00.000Z", "reason": "attempt 1 failed: it is away", "ahead": 0}
    text = said(events=[event(state="pending", attempts=[attempt], waits=waits)])
    assert text.count("it is away") == 1
    assert f"    next try at {moment(waits['until'])}: after attempt 1\n" in text + "\n"
    assert "about to start" in said(events=[event(attempts=[attempt], waits={**waits, "reason": "about to start"})])


def test_what_fails_the_same_way_each_time_is_not_advised_to_be_sent_again() -> None:
    attempt = {"number": 1, "outcome": "failed", "exit_code": None, "failure": "permanent", "reason": "gone"}
    assert "redrive r1" not in said(events=[event(state="dead", attempts=[attempt])])
    assert "redrive r1" in said(events=[event(state="dead", attempts=[{**attempt, "failure": "user"}])])


def test_events_told_twice_by_one_source_are_one_line_also_where_the_second_comes_later() -> None:
    one: dict[str, Any] = {"id": "e1", "source": "minio"}
    rows: list[dict[str, Any]] = [
        one,
        {**one, "id": "e2"},
        one,
        {**one, "source": "other"},
        {"id": None, "source": None},
    ]
    printed: deque[tuple[str, str]] = deque(maxlen=10)
    folded = [(row["id"], row["source"], count) for row, count in events._folded(rows, printed, as_json=False)]
    assert folded == [("e1", "minio", 2), ("e2", "minio", 1), ("e1", "other", 1), (None, None, 1)]
    assert list(events._folded([one], printed, as_json=False)) == []
    assert list(events._folded([one, one], printed, as_json=True)) == [(one, 1), (one, 1)], "scripts see each record"
