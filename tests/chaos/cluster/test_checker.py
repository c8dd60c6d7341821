"""What the checker of a cluster finds in evidence written by hand: one thing wrong at a time."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.chaos.checker import Kind
from tests.chaos.cluster.checker import Evidence, Verdict, check, verdict
from tests.chaos.cluster.troubles import Action, Victim, disturbances, kills, schedule
from tests.chaos.cluster.uploads import FAILING
from tests.chaos.journal import Script, cut_off

GOOD, BAD = "chaos/in/good", f"chaos/in/bad{FAILING}"
MD5 = hashlib.md5(hashlib.sha256(b"content").hexdigest().encode() + b"\n").hexdigest()
POISON = "ab" * 32


def run(identity: str, name: str, state: str, *outcomes: str) -> dict[str, Any]:
    bucket, _, key = name.partition("/")
    attempts = [{"outcome": outcome} for outcome in outcomes]
    return {
        "id": identity,
        "bucket": bucket,
        "key": key,
        "state": state,
        "event": f"event of {name}",
        "attempts": attempts,
    }


def script(identity: str, attempt: int, first: int, last: int) -> Script:
    return Script(identity, str(attempt), f"process {first}", first, last, has_ended=True)


ALL_RIGHT = Evidence(
    acknowledged={GOOD, BAD},
    stored={GOOD: b"content", BAD: b"content"},
    accepted={GOOD, BAD},
    on_topic={f"event of {GOOD}": GOOD, f"event of {BAD}": BAD},
    poison={POISON},
    quarantined={POISON},
    runs=[run("one", GOOD, "succeeded", "failed", "succeeded"), run("two", BAD, "dead", "failed")],
    told={"one", "two"},
    told_dead={"two"},
    scripts=[script("one", 1, 0, 1), script("one", 2, 2, 3), script("two", 1, 4, 5)],
    results={"chaos/out/good.sum": MD5},
    leftovers=[],
)


def test_nothing_is_found_where_all_is_right() -> None:
    assert check(ALL_RIGHT) == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"stored": {BAD: b"content"}}, {Kind.LOST, Kind.DOUBLED, Kind.WRONG_RESULT}),  # the store forgot it
        ({"runs": [ALL_RIGHT.runs[1]]}, {Kind.LOST, Kind.DOUBLED, Kind.STARTED_TOO_OFTEN}),
        ({"runs": [run("one", GOOD, "pending", "failed", "failed"), ALL_RIGHT.runs[1]]}, {Kind.LOST}),
        ({"runs": [run("one", GOOD, "dead", "failed", "failed"), ALL_RIGHT.runs[1]]}, {Kind.WRONG_END, Kind.UNTOLD}),
        ({"runs": [ALL_RIGHT.runs[0], run("two", BAD, "succeeded", "failed")]}, {Kind.WRONG_END, Kind.DOUBLED}),
        ({"runs": [*ALL_RIGHT.runs, run("three", GOOD, "succeeded")]}, {Kind.DOUBLED, Kind.UNTOLD}),
        ({"on_topic": {f"event of {BAD}": BAD}}, {Kind.LOST}),  # an ingest said that it is durable
        ({"on_topic": {**ALL_RIGHT.on_topic, "an event": GOOD}}, {Kind.LOST}),  # it has no run
        ({"quarantined": set()}, {Kind.NOT_KEPT}),
        ({"poison": set()}, {Kind.NOT_KEPT}),
        ({"told": {"two"}}, {Kind.UNTOLD}),
        ({"told_dead": set()}, {Kind.UNTOLD}),
        ({"told_dead": {"one", "two"}}, {Kind.DOUBLED}),
        ({"scripts": [*ALL_RIGHT.scripts, script("one", 3, 6, 7)]}, {Kind.STARTED_TOO_OFTEN}),
        ({"scripts": [script("one", 1, 0, 3), script("one", 2, 2, 4)]}, {Kind.SIMULTANEOUS}),
        ({"results": {}}, {Kind.WRONG_RESULT}),
        ({"results": {"chaos/out/good.sum": "another"}}, {Kind.WRONG_RESULT}),
        ({"results": {**ALL_RIGHT.results, f"chaos/out/bad{FAILING}.sum": MD5}}, {Kind.WRONG_RESULT}),
        ({"leftovers": ["a directory"]}, {Kind.LEFTOVER}),
    ],
)
def test_what_is_wrong_is_found(wrong: dict[str, Any], expected: set[Kind]) -> None:
    assert {finding.kind for finding in check(replace(ALL_RIGHT, **wrong))} == expected


def test_the_verdict_counts_what_is_lost_doubled_and_wrong() -> None:
    findings = check(replace(ALL_RIGHT, results={}, told_dead=set(), leftovers=["a directory"]))
    assert verdict(findings) == Verdict(lost=1, doubled=0, wrong=2)
    assert str(verdict([])) == "lost=0 doubled=0 wrong=0"


def test_a_seed_decides_who_is_killed_and_when() -> None:
    often = kills(40) | disturbances(10)
    made = schedule(Random(1), often, 3000)
    assert made == schedule(Random(1), often, 3000) != schedule(Random(2), often, 3000)
    assert [trouble.after for trouble in made] == sorted({trouble.after for trouble in made})
    killed = [trouble.victim for trouble in made if trouble.action is Action.KILL]
    assert len(killed) >= 40
    assert set(killed) == set(Victim)


def test_a_script_is_cut_off_at_one_moment_only_the_first_after_its_last_line() -> None:
    ended = script("ended", 1, 0, 9)
    cut = [replace(script(f"cut {last}", 1, 0, last), has_ended=False) for last in (3, 4, 12, 30)]
    assert cut_off([ended, *cut], [5, 10, 13, 20]) == [2, 0, 1, 0]
