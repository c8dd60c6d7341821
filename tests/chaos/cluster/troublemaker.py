"""Kills, pauses and cuts off everything of an installation as scheduled, and lets it be well again, one at a time.

In:  an installation, a seed, a schedule. Out: the troubles made, each with its moment in the journal.
Not here: what happens when (troubles.py), what the platform made of it (checker.py).

A moment is so many scripts started, and a little later: so troubles are spread over the work, however fast it goes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.acceptance.platform import until
from tests.chaos.cluster.component import Component
from tests.chaos.cluster.installation import Installation
from tests.chaos.cluster.troubles import Action, Often, Trouble, Victim, schedule
from tests.chaos.journal import cut_off
from tests.chaos.processes import children
from tests.testbed.server import Server

# The most that anything may stand still: takeover and rebalance, on a machine that others use too.
_STALL_S = 120.0
_LATER_S = 0.3
_LONGEST_DOWN_S = 1.0
# From hardly noticed to longer than the scheduler's role and the broker's session last.
_SHORTEST_S, _LONGEST_S = 0.5, 15.0
_LATENCY_MS, _JITTER_MS = 200, 200
# So often it is the dispatcher that schedules: only it has scripts.
_SCHEDULING = 0.75


@dataclass(frozen=True, slots=True)
class Made:
    """A trouble, and how many lines the scripts' journal had just before."""

    trouble: Trouble
    lines: int


class Troublemaker:
    """Makes the troubles of a schedule. made: those that were."""

    def __init__(self, installation: Installation, seed: int, often: Often, scripts: int) -> None:
        self._installation, self._random = installation, Random(seed)
        self._schedule = schedule(self._random, often, scripts)
        self._never = threading.Event()
        self.made: list[Made] = []

    def run(self) -> None:
        """Make them all, one after the other. Fails if work stands still, or a component ends by itself."""
        for trouble in self._schedule:
            self._await(trouble.after)
            self._pass(0, _LATER_S)  # no wait for anything: the moment itself
            for component in self._installation.components:
                assert not component.ended_by_itself(), component.log.read_text()[-5000:]
            self.made.append(Made(trouble, self._installation.journal.lines))
            self._make(trouble)

    @property
    def kills(self) -> Counter[Victim]:
        """Return how often whom was killed."""
        return Counter(one.trouble.victim for one in self.made if one.trouble.action is Action.KILL)

    def killed_scripts(self) -> int:
        """Return how many kills took at least one script with them, beyond doubt: it never said that it ended."""
        taken = cut_off(self._installation.journal.scripts(), [one.lines for one in self.made])
        return sum(count > 0 and one.trouble.action is Action.KILL for count, one in zip(taken, self.made, strict=True))

    def _make(self, trouble: Trouble) -> None:
        match trouble.action, trouble.victim:
            case Action.KILL, Victim.WORKER:
                self._kill_worker()
            case Action.KILL, victim:
                server = self._server(victim)
                server.kill()
                self._pass(0, _LONGEST_DOWN_S)
                server.start()
            case Action.PAUSE, victim:
                server = self._server(victim)
                server.pause()
                self._pass(_SHORTEST_S, _LONGEST_S)
                server.resume()
            case action, victim:
                link = self._random.choice(self._installation.servers.links[victim])
                if action is Action.CUT:
                    link.cut()
                else:
                    link.slow(_LATENCY_MS, _JITTER_MS)
                self._pass(_SHORTEST_S, _LONGEST_S)
                link.heal()

    def _await(self, starts: int) -> None:
        journal = self._installation.journal
        until(lambda: journal.count("start") >= starts, f"{starts} scripts have started", _STALL_S)

    def _pass(self, least_s: float, most_s: float) -> None:
        self._never.wait(self._random.uniform(least_s, most_s))

    def _kill_worker(self) -> None:
        def workers() -> list[int]:
            return [worker for one in self._installation.dispatchers for worker in one.workers()]

        until(workers, "there is a worker", _STALL_S)
        busy = [worker for worker in workers() if children(worker)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._random.choice(busy or workers()), signal.SIGKILL)

    def _server(self, victim: Victim) -> Server:
        installation = self._installation
        match victim:
            case Victim.INGEST:
                return self._random.choice(installation.ingests)
            case Victim.DISPATCHER:
                return self._dispatcher()
            case Victim.BROKER:
                return self._random.choice(installation.servers.kafka.brokers)
            case Victim.STORE:
                return installation.servers.minio
            case _:
                return installation.servers.postgres

    def _dispatcher(self) -> Component:
        one, other = sorted(self._installation.dispatchers, key=lambda dispatcher: len(dispatcher.workers()))
        return other if self._random.random() < _SCHEDULING else one
