"""Whatever of a cluster is killed, nothing is lost, nothing runs twice, and every result is right."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import pytest

from tests.chaos.cluster.campaign import Outcome, carry_out
from tests.chaos.cluster.conftest import StartServers
from tests.chaos.cluster.installation import Installation, running
from tests.chaos.cluster.troubles import Victim, kills
from tests.chaos.cluster.uploads import FAILING

SEED = "CHAOS_SEED"
# About what two cores process beside everything else, so that the platform catches up after each kill.
PER_SECOND = 14.0
LEAST_KILLED_SCRIPTS = 10


def test_3000_uploads_through_40_kills_are_each_processed_once_and_right(
    start_servers: StartServers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = _killed(start_servers, tmp_path, capsys, seed=20261121, uploads=3000, count=50)
    assert outcome.findings == []
    # It was as bad as it is meant to be.
    assert outcome.kills.keys() == set(Victim)
    assert sum(count for victim, count in outcome.kills.items() if victim is not Victim.WORKER) >= 40
    assert outcome.killed_scripts >= LEAST_KILLED_SCRIPTS
    assert len(outcome.evidence.poison) == 15  # 0.5 %
    assert 15 <= outcome.swallowed <= 60  # 1 %, decided by their names
    assert outcome.told_twice >= 75  # half of 5 %: while ingests are down nobody is told at all
    assert any(name.endswith(FAILING) for name in outcome.evidence.stored)


def test_the_same_goes_for_any_moments(
    start_servers: StartServers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get(SEED, Random().randrange(2**32)))
    assert _killed(start_servers, tmp_path, capsys, seed, uploads=500, count=11).findings == []


def _killed(
    start_servers: StartServers,
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    seed: int,
    uploads: int,
    count: int,
) -> Outcome:
    print(f"{SEED}={seed}", file=sys.stderr)
    with start_servers(seed) as servers, running(Installation(directory, servers)) as platform:
        platform.apply()
        outcome = carry_out(platform, seed, uploads, PER_SECOND, kills(count))
    with capsys.disabled():
        print(outcome.summary(), outcome.last_line(), sep="\n", file=sys.stderr)
    print(*outcome.findings, sep="\n")
    return outcome
