"""Says whether anything was lost, ran twice, or is wrong: from what was dropped, told, journalled and found.

In:  the evidence. Out: findings; none means that all of issue 3's promises held. Pure.
Not here: collecting the evidence (scene.py).

It believes nobody: what should be there comes from the producer's own journal, starts from the scripts', results are
recomputed. Of the product it uses only the runs it tells of, and the files it left.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from tests.chaos.journal import Script, of_executions, simultaneous

T = TypeVar("T")


class Kind(StrEnum):
    """What can be wrong."""

    LOST = "lost"  # a file without a run that succeeded
    DOUBLED = "doubled"  # a file with several runs, or a run for nothing that was dropped
    STARTED_TOO_OFTEN = "started too often"  # more starts than 1 + attempts that were killed or failed
    SIMULTANEOUS = "simultaneous"  # two scripts of one execution at one moment
    WRONG_RESULT = "wrong result"  # missing, different from the recomputed one, or of nothing
    WRONG_END = "wrong end"  # given up on what should succeed, or the other way round
    UNTOLD = "untold"  # ended, and not on the topic that tells so
    NOT_KEPT = "not kept"  # refused bytes that are not in quarantine, or others that are
    LEFTOVER = "leftover"  # what an interrupted attempt left and nobody removed


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """dropped: `bucket/key` -> content. runs: with their attempts. results: `bucket/key` -> content."""

    dropped: Mapping[str, bytes]
    runs: Sequence[Mapping[str, Any]]
    scripts: Sequence[Script]
    results: Mapping[str, bytes]
    leftovers: Sequence[str]

    @property
    def restarts(self) -> int:
        """How many scripts were started beyond the first of each execution."""
        return len(self.scripts) - len(of_executions(self.scripts))


def result_of(name: str, content: bytes) -> tuple[str, bytes]:
    """Return where the result of an input lies, and what it is: the input's SHA-256 (scene.py, SUM)."""
    bucket = name.partition("/")[0]
    return f"{bucket}/out/{name.rpartition('/')[2]}.sum", hashlib.sha256(content).hexdigest().encode() + b"\n"


def check(evidence: Evidence) -> list[Finding]:
    """Return everything that is wrong."""
    expected = dict(result_of(name, content) for name, content in evidence.dropped.items())
    return [
        *_runs(evidence),
        *wrong_starts(evidence.runs, evidence.scripts),
        *different(expected, evidence.results),
        *(Finding(Kind.LEFTOVER, what) for what in evidence.leftovers),
    ]


def _runs(evidence: Evidence) -> Iterator[Finding]:
    states: defaultdict[str, list[str]] = defaultdict(list)
    for run in evidence.runs:
        states[f"{run['bucket']}/{run['key']}"].append(run["state"])
    for name in evidence.dropped:
        if "succeeded" not in states[name]:
            yield Finding(Kind.LOST, f"{name}: its runs are {states[name]}")
        if len(states[name]) > 1:
            yield Finding(Kind.DOUBLED, f"{name}: its runs are {states[name]}")
    for name in states.keys() - evidence.dropped.keys():
        yield Finding(Kind.DOUBLED, f"{name}: nobody dropped it, its runs are {states[name]}")


def wrong_starts(runs: Sequence[Mapping[str, Any]], scripts: Sequence[Script]) -> Iterator[Finding]:
    """Yield the executions whose scripts were started more often than is explained, or two at a moment."""
    failed = {
        run["id"]: sum(attempt["outcome"] not in ("succeeded", None) for attempt in run["attempts"]) for run in runs
    }
    for execution, started in of_executions(scripts).items():
        allowed = 1 + failed[execution] if execution in failed else 0
        if len(started) > allowed:
            yield Finding(Kind.STARTED_TOO_OFTEN, f"{execution}: {len(started)} starts, {allowed} allowed")
    for earlier, later in simultaneous(scripts):
        yield Finding(Kind.SIMULTANEOUS, f"{earlier} and {later}")


def different(expected: Mapping[str, T], found: Mapping[str, T]) -> list[Finding]:
    """Return the results that are missing, not what was recomputed, or of nothing."""
    return [
        Finding(Kind.WRONG_RESULT, f"{name}: expected {expected.get(name)!r}, found {found.get(name)!r}")
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def wrong_results(dropped: Mapping[str, bytes], results: Mapping[str, bytes]) -> list[Finding]:
    """Return the results that are there and are not what was recomputed; some may still be missing."""
    expected = dict(result_of(name, content) for name, content in dropped.items())
    return different({name: expected[name] for name in expected.keys() & results.keys()}, results)
