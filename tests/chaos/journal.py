"""What the scripts themselves say of their lives: lines in a file outside of the buckets, in the order they happened.

In:  the journal's path. Out: each script that ever ran, with its first and last line.
Not here: judging them (checker.py).

A line is `execution attempt process word`, appended in one write (O_APPEND), so the lines are in one true order and no
clock is needed. The word is `start`, `end`, or anything else for being alive: twenty times a second, so that a script
that goes on when it should be dead is seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

# What every script begins with. `live N` lives for N twentieths of a second; children know it as $SCRIPT.
PREAMBLE = """\
set -eu
export SCRIPT=$$
say() { echo "$OSCAR_EVENTS_EXECUTION $OSCAR_EVENTS_ATTEMPT $SCRIPT $1" >>"$JOURNAL"; }
live() { left=$1; while [ "$left" -gt 0 ]; do sleep 0.05; say alive; left=$((left - 1)); done; }
say start
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One process of `/bin/sh script.sh`. first, last: the numbers of its lines. has_ended: it said so itself."""

    execution: str
    attempt: str
    process: str
    first: int
    last: int
    has_ended: bool


class Journal:
    """The journal as it stands. It grows, and is looked at often: each look reads only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = self._lines = 0
        self._scripts: dict[str, Script] = {}
        self._words: Counter[str] = Counter()

    def scripts(self) -> list[Script]:
        """Return the scripts in the order of their starts."""
        self._look()
        return list(self._scripts.values())

    @property
    def lines(self) -> int:
        """Return how many lines there are: a moment in the order of all that happened."""
        self._look()
        return self._lines

    def count(self, word: str) -> int:
        """Return how many lines say this."""
        self._look()
        return self._words[word]

    def open(self) -> list[Script]:
        """Return the scripts that have started and have not said that they ended."""
        return [script for script in self.scripts() if not script.has_ended]

    def _look(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as journal:
            journal.seek(self._read)
            new = journal.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            who, _, word = line.rpartition(" ")
            execution, attempt, process = who.split()
            number, self._lines = self._lines, self._lines + 1
            known = self._scripts.get(who) or Script(execution, attempt, process, number, number, has_ended=False)
            self._scripts[who] = replace(known, last=number, has_ended=known.has_ended or word == "end")
            self._words[word] += 1


def of_executions(scripts: Iterable[Script]) -> dict[str, list[Script]]:
    """Return the scripts of each execution, in the order of their starts."""
    found: defaultdict[str, list[Script]] = defaultdict(list)
    for script in sorted(scripts, key=lambda script: script.first):
        found[script.execution].append(script)
    return dict(found)


def cut_off(scripts: Iterable[Script], moments: Sequence[int]) -> list[int]:
    """Return for each moment how many scripts were cut off there, given numbers of lines in ascending order.

    One that never said it ended was cut off at the first moment after its last line: it says that it lives too often
    to have died long before.
    """
    found = [0] * len(moments)
    for script in scripts:
        place = bisect_right(moments, script.last)
        if not script.has_ended and place < len(moments):
            found[place] += 1
    return found


def simultaneous(scripts: Iterable[Script]) -> list[tuple[Script, Script]]:
    """Return the pairs of one execution of which the earlier one still lived when the later one had started."""
    return [
        (earlier, later)
        for one in of_executions(scripts).values()
        for earlier, later in pairwise(one)
        if earlier.last > later.first
    ]
