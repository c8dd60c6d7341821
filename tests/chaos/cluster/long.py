"""The long campaign, `make chaos`: three brokers, kills, pauses, links cut and slow, for as many uploads as asked.

In:  `--events N --seed S`. Out: figures, the last line `lost=0 doubled=0 wrong=0 kills=K seed=S`, exit code 0 only if
so; then also the report docs/chaos.md.
Not here: the short one of CI (test_crash.py).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from tests.chaos.cluster.campaign import Outcome, carry_out
from tests.chaos.cluster.installation import Installation, running
from tests.chaos.cluster.servers import running_linked_servers
from tests.chaos.cluster.troubles import disturbances, kills

EVENTS = 50_000
PER_SECOND = 20.0
# A kill every 300 uploads: 167 at 50,000 (issue 5 wants 150). Another trouble of each kind every thousand.
_UPLOADS_PER_KILL, _UPLOADS_PER_DISTURBANCE = 300, 1000
# Listing 50,000 objects costs seconds: what nobody was told of may wait a minute.
_SETTINGS = {"reconcile": {"every": "60s", "min_age": "5s"}}
_CHECKOUT = Path(__file__).parents[3]
_REPORT = _CHECKOUT / "docs" / "chaos.md"
_SHOWN = 50
# Room for one trouble of each kind and everybody, and for what comes between them.
_FEWEST = 100


def main() -> int:
    """Carry it out and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**32))
    asked = parser.parse_args()
    if asked.events < _FEWEST:
        parser.error(f"--events {asked.events}: at least {_FEWEST}, so that everybody can be killed once")
    print(f"seed {asked.seed}", flush=True)
    killed, disturbed = asked.events // _UPLOADS_PER_KILL, asked.events // _UPLOADS_PER_DISTURBANCE
    often = kills(max(1, killed)) | disturbances(max(1, disturbed))
    with tempfile.TemporaryDirectory(prefix="oscar-events-chaos-") as directory:
        root = Path(directory)
        with (
            running_linked_servers(root, asked.seed) as servers,
            running(Installation(root, servers, _SETTINGS)) as platform,
        ):
            platform.apply()
            outcome = carry_out(platform, asked.seed, asked.events, PER_SECOND, often)
    print(*outcome.findings[:_SHOWN], sep="\n")
    print(outcome.summary())
    if not outcome.findings:
        _REPORT.parent.mkdir(exist_ok=True)
        _REPORT.write_text(_report(outcome, asked.events))
    print(outcome.last_line(), flush=True)
    return bool(outcome.findings)


def _report(outcome: Outcome, events: int) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.strip()
    rows = "\n".join(f"| {name} | {value} |" for name, value in outcome.figures().items())
    return f"""# The long chaos run

`make chaos N={events} SEED={outcome.seed}` on commit {commit}, {datetime.now(UTC):%Y-%m-%d}: two ingests and two
dispatchers on three Kafka brokers, PostgreSQL and MinIO, each at the end of a link; one trouble at a time.

```
{outcome.last_line()}
```

| | |
|---|---|
{rows}
"""


if __name__ == "__main__":
    sys.exit(main())
