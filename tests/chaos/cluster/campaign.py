"""One campaign: so many uploads through so many kills, and the verdict.

In:  a prepared and running installation with its service, a seed, how many of what. Out: findings and figures.
Not here: the parts it puts together, all beside this module.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.acceptance.platform import until
from tests.chaos.checker import Finding, Kind
from tests.chaos.cluster.checker import Evidence, Verdict, check, verdict
from tests.chaos.cluster.evidence import collect
from tests.chaos.cluster.installation import Installation
from tests.chaos.cluster.poison import Poison
from tests.chaos.cluster.servers import TOKEN
from tests.chaos.cluster.troublemaker import Troublemaker
from tests.chaos.cluster.troubles import Often, Trouble, Victim
from tests.chaos.cluster.uploads import BUCKET, Sender, Upload, content_of
from tests.chaos.journal import of_executions

# Of what is uploaded, so much is sent besides that is no event (issue 5).
_POISON_SHARE = 0.005
# Without another run that ends: as long as takeover, backoff, and the listing of what nobody was told of take at most.
_REST_S = 180.0
_LAST = f"{BUCKET}/in/last"
_STILL = """
SELECT (SELECT count(*) FROM executions WHERE ended_at IS NOT NULL),
       (SELECT count(*) FROM executions WHERE ended_at IS NULL), (SELECT count(*) FROM outbox)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a campaign. killed_scripts: kills that took a script with them."""

    seed: int
    findings: Sequence[Finding]
    evidence: Evidence
    uploads: Mapping[Upload, int]
    troubles: Sequence[Trouble]
    kills: Mapping[Victim, int]
    killed_scripts: int
    swallowed: int
    told_twice: int
    seconds: float

    @property
    def verdict(self) -> Verdict:
        return verdict(self.findings)

    def last_line(self) -> str:
        return f"{self.verdict} kills={sum(self.kills.values())} seed={self.seed}"

    def figures(self) -> dict[str, object]:
        """Return the figures by their names, in the order in which they are told."""
        evidence = self.evidence
        states = Counter(run["state"] for run in evidence.runs)
        happened = Counter(f"{trouble.action.value} {trouble.victim.value}" for trouble in self.troubles)
        return {
            "seed": self.seed,
            **{f"uploads {upload.value}": self.uploads.get(upload, 0) for upload in Upload},
            "notifications swallowed": self.swallowed,
            "notifications told twice": self.told_twice,
            "poison": len(evidence.poison),
            **{f"runs {state}": count for state, count in sorted(states.items())},
            **dict(sorted(happened.items())),
            "kills with a script running": self.killed_scripts,
            "scripts started": len(evidence.scripts),
            "scripts started again": len(evidence.scripts) - len(of_executions(evidence.scripts)),
            "seconds": round(self.seconds),
            **{kind.value: sum(finding.kind is kind for finding in self.findings) for kind in Kind},
        }

    def summary(self) -> str:
        rows = "\n".join(f"  {name:<28}{value!s:>12}" for name, value in self.figures().items())
        return f"\n{rows}"


def carry_out(installation: Installation, seed: int, uploads: int, per_second: float, often: Often) -> Outcome:
    """Upload and kill, wait for rest, collect and check."""
    began = time.monotonic()
    servers = installation.servers
    poison = Poison(
        [ingest.port for ingest in installation.ingests],
        TOKEN,
        servers.kafka.bootstrap,
        f"{servers.prefix}oscar.events",
        seed,
    )
    sender = Sender(lambda: servers.minio.client, seed, uploads, per_second)
    troublemaker = Troublemaker(installation, seed, often, uploads)
    poisoning = threading.Thread(target=_poison, args=(poison, sender, int(_POISON_SHARE * uploads), uploads))
    sending = threading.Thread(target=sender.run)
    sending.start()
    poisoning.start()
    try:
        troublemaker.run()
        sending.join()
    finally:
        sender.cancelled.set()
        sending.join()
        poisoning.join()
    come_to_rest(installation, seed)
    known = Counter(sender.journal.values())
    acknowledged = {name for name, upload in sender.journal.items() if upload is Upload.ACKNOWLEDGED}
    evidence = collect(installation, seed, acknowledged, poison.taken)
    return Outcome(
        seed,
        check(evidence),
        evidence,
        known,
        [one.trouble for one in troublemaker.made],
        troublemaker.kills,
        troublemaker.killed_scripts(),
        len(servers.notifier.told.swallowed),
        servers.notifier.told.twice,
        time.monotonic() - began,
    )


def _poison(poison: Poison, sender: Sender, count: int, uploads: int) -> None:
    """Send poison all along the uploads."""
    for number in range(count):
        due = (number + 0.5) * uploads / count
        while sender.acknowledged < due and not sender.cancelled.wait(0.1):
            pass
        if sender.cancelled.is_set():
            return
        poison.send()


def come_to_rest(installation: Installation, seed: int) -> None:
    """Wait until all that is stored has run; if that never comes, the checker says so.

    The last object of all is one that nobody is told of: when its run is there, everything was listed once more, after
    all else had come to rest. Then a dispatcher is stopped in order and started anew: what those that were killed left
    is removed at a start.
    """
    store = installation.servers.minio.client
    _rest(installation, len(store.etags(BUCKET, "in/")))
    installation.servers.notifier.swallow_too = {_LAST}
    store.put(BUCKET, _LAST.partition("/")[2].encode(), content_of(seed, _LAST))
    _rest(installation, len(store.etags(BUCKET, "in/")))
    installation.dispatchers[0].stop()
    installation.dispatchers[0].start()


def _rest(installation: Installation, runs: int) -> None:
    servers = installation.servers

    def look() -> tuple[int, bool]:
        ended, live, untold = map(int, servers.postgres.execute(_STILL, servers.database).split("|"))
        return ended, ended >= runs and live == untold == 0

    with contextlib.suppress(AssertionError):
        while not (before := look())[1]:
            until(lambda before=before: look() > before, "another run has ended", _REST_S)  # type: ignore[misc]
