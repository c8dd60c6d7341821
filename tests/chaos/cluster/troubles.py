"""What happens to whom in a campaign, and after how many scripts: decided by a seed before it begins.

In:  a seed, how often what. Out: the troubles in their order. Pure.
Not here: making them (troublemaker.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Victim(StrEnum):
    """Who it happens to."""

    INGEST = "ingest"
    DISPATCHER = "dispatcher"
    WORKER = "worker"
    BROKER = "broker"
    STORE = "store"
    DATABASE = "database"


class Action(StrEnum):
    """What happens to it. The last two happen to the link that leads to it."""

    KILL = "kill"
    PAUSE = "pause"
    CUT = "cut"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble. after: so many scripts have started."""

    after: int
    action: Action
    victim: Victim


Often = Mapping[tuple[Action, Victim], int]

# Of 42 kills: our own processes most, as they hold what is under way; the servers often enough to meet every moment.
_WEIGHTS = {
    Victim.INGEST: 8,
    Victim.DISPATCHER: 12,
    Victim.WORKER: 10,
    Victim.BROKER: 4,
    Victim.STORE: 4,
    Victim.DATABASE: 4,
}
_PAUSED = tuple(victim for victim in Victim if victim is not Victim.WORKER)
_LINKED = (Victim.BROKER, Victim.STORE, Victim.DATABASE)


def kills(count: int) -> dict[tuple[Action, Victim], int]:
    """Return at least so many kills, spread over everybody by their weights."""
    total = sum(_WEIGHTS.values())
    return {(Action.KILL, victim): -(-count * weight // total) for victim, weight in _WEIGHTS.items()}


def disturbances(count: int) -> dict[tuple[Action, Victim], int]:
    """Return at least so many pauses, and as many cut and slow links, spread evenly."""
    paused = {(Action.PAUSE, victim): -(-count // len(_PAUSED)) for victim in _PAUSED}
    links = {(action, victim): -(-count // 6) for action in (Action.CUT, Action.SLOW) for victim in _LINKED}
    return paused | links


def schedule(random: Random, often: Often, scripts: int) -> list[Trouble]:
    """Return all troubles in order, spread over the first 95 % of so many scripts: the last find them over."""
    whom = list(Counter(often).elements())
    random.shuffle(whom)
    moments = sorted(random.sample(range(2, int(0.95 * scripts)), len(whom)))
    return [Trouble(after, action, victim) for after, (action, victim) in zip(moments, whom, strict=True)]
