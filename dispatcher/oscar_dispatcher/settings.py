"""The settings of the dispatcher.

In:  nothing; the composition root fills them. Out: `DispatcherSettings`.
Not here: what a service sets for itself (its `dispatch:` block).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """How much runs, and how long things are held.

    concurrency: runs at a time over all services; a script is taken to use one core.
    role_ttl: after so long without renewal a standby may take over: 10 s at most with its asking (design §3.5).
    lease_ttl: to submit one attempt; a Job's creation is tried again for about a minute.
    sweep: how often the ledger is searched for what should not be there (design §3.4).
    holder: who this is among all dispatchers. role_at_once: there is no other, as on a laptop.
    """

    concurrency: int = field(default_factory=cores)
    role_ttl: timedelta = timedelta(seconds=8)
    lease_ttl: timedelta = timedelta(seconds=60)
    sweep: timedelta = timedelta(seconds=60)
    holder: str = ""
    role_at_once: bool = False
