"""Says whether a cluster lost anything, ran anything twice, or got anything wrong: invariants I1, I2, I4 and I5.

In:  the evidence: of the sender, the notifier, the topics, the ledger, the scripts, the store. Out: findings; none
means that all of design §3's promises held. Pure.
Not here: collecting the evidence (evidence.py), what a laptop's check has too (tests/chaos/checker.py).
Source of the invariants: reference/reliability.md §2.0; I3 is about Kubernetes' Jobs.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from oscar_events.execution import State
from tests.chaos.checker import Finding, Kind, different, result_of, wrong_starts
from tests.chaos.cluster.uploads import FAILING
from tests.chaos.journal import Script

_LOST = {Kind.LOST, Kind.UNTOLD, Kind.NOT_KEPT}
_DOUBLED = {Kind.DOUBLED, Kind.STARTED_TOO_OFTEN, Kind.SIMULTANEOUS}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Objects and events are told by `bucket/key`.

    acknowledged: what the sender knows to be stored. stored: all objects at the end, with their content. accepted:
    objects of which an ingest said that their event is durable. on_topic: ids of the records of `oscar.events`, with
    their object. poison, quarantined: by SHA-256. runs: with their attempts. told, told_dead: ids of executions on the
    topics of ends and of dead letters. results: with the MD5 of their content.
    """

    acknowledged: Set[str]
    stored: Mapping[str, bytes]
    accepted: Set[str]
    on_topic: Mapping[str, str]
    poison: Set[str]
    quarantined: Set[str]
    runs: Sequence[Mapping[str, Any]]
    told: Set[str]
    told_dead: Set[str]
    scripts: Sequence[Script]
    results: Mapping[str, str]
    leftovers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many findings, in the words of the last line of `make chaos`."""

    lost: int
    doubled: int
    wrong: int

    def __str__(self) -> str:
        return f"lost={self.lost} doubled={self.doubled} wrong={self.wrong}"


def check(evidence: Evidence) -> list[Finding]:
    """Return everything that is wrong."""
    expected = {
        result: hashlib.md5(content).hexdigest()
        for result, content in (
            result_of(name, content) for name, content in evidence.stored.items() if not name.endswith(FAILING)
        )
    }
    return [
        *_acknowledged(evidence),
        *_runs(evidence),
        *_told(evidence),
        *wrong_starts(evidence.runs, evidence.scripts),
        *different(expected, evidence.results),
        *(Finding(Kind.LEFTOVER, what) for what in evidence.leftovers),
    ]


def verdict(findings: Sequence[Finding]) -> Verdict:
    """Count the findings."""
    lost = sum(finding.kind in _LOST for finding in findings)
    doubled = sum(finding.kind in _DOUBLED for finding in findings)
    return Verdict(lost, doubled, len(findings) - lost - doubled)


def _acknowledged(evidence: Evidence) -> Iterator[Finding]:
    """I1: whoever was told "durable" finds it on the topic or in quarantine."""
    for name in sorted(evidence.acknowledged - evidence.stored.keys()):
        yield Finding(Kind.LOST, f"{name}: the store acknowledged it and does not have it")
    for name in sorted(evidence.accepted - set(evidence.on_topic.values())):
        yield Finding(Kind.LOST, f"{name}: an ingest acknowledged its event, which is not on the topic")
    for digest in sorted(evidence.poison - evidence.quarantined):
        yield Finding(Kind.NOT_KEPT, f"{digest}: was taken, and is not in quarantine")
    for digest in sorted(evidence.quarantined - evidence.poison):
        yield Finding(Kind.NOT_KEPT, f"{digest}: is in quarantine, and nobody sent it as poison")


def _runs(evidence: Evidence) -> Iterator[Finding]:
    """I2: every object has one run, that ended as it has to; every event on the topic has one."""
    states: defaultdict[str, list[str]] = defaultdict(list)
    for run in evidence.runs:
        states[f"{run['bucket']}/{run['key']}"].append(run["state"])
    for name in sorted(evidence.stored):
        end = "dead" if name.endswith(FAILING) else "succeeded"
        if not states[name]:
            yield Finding(Kind.LOST, f"{name}: it has no run")
        elif len(states[name]) > 1:
            yield Finding(Kind.DOUBLED, f"{name}: its runs are {states[name]}")
        elif states[name] != [end]:
            kind = Kind.WRONG_END if State(states[name][0]).is_terminal else Kind.LOST
            yield Finding(kind, f"{name}: its run is {states[name][0]}, not {end}")
    for name in sorted(states.keys() - evidence.stored.keys()):
        yield Finding(Kind.DOUBLED, f"{name}: nobody stored it, its runs are {states[name]}")
    runs_of_events = Counter(run["event"] for run in evidence.runs)
    for event, name in sorted(evidence.on_topic.items()):
        if runs_of_events[event] != 1:
            kind = Kind.DOUBLED if runs_of_events[event] else Kind.LOST
            yield Finding(kind, f"{event} of {name} is on the topic and has {runs_of_events[event]} runs")


def _told(evidence: Evidence) -> Iterator[Finding]:
    """Every end is told, every dead letter as one too, and nothing that was not."""
    ended = {run["id"] for run in evidence.runs}
    dead = {run["id"] for run in evidence.runs if run["state"] == "dead"}
    for topic, told, expected in (("ends", evidence.told, ended), ("dead letters", evidence.told_dead, dead)):
        for execution in sorted(expected - told):
            yield Finding(Kind.UNTOLD, f"{execution} ended, and is not on the topic of {topic}")
        for execution in sorted(told - expected):
            yield Finding(Kind.DOUBLED, f"{execution} is on the topic of {topic}, and there is no such run")
