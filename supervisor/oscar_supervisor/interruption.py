"""What can end an attempt from outside, whatever it is doing at the moment.

In:  nothing. Out: the protocol that everything long-running here asks in between, and the two ways out.
Not here: where the wish comes from (orders.py: a pipe; later a signal in a pod).
"""

from __future__ import annotations

from typing import Protocol

from oscar_events.errors import FencedError, OscarEventsError


class AbandonedError(FencedError):
    """Nobody waits for this attempt any more: kill its script, publish nothing more, report nothing."""


class CancelRequestedError(OscarEventsError):
    """The user wants this attempt to end before it has published."""


class Interruption(Protocol):
    """Asked at least once per MiB copied and woken up for while a script runs."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when `check` may have something new to say."""
        ...

    def check(self) -> bool:
        """Return whether cancel was asked for, without waiting. Raises AbandonedError."""
        ...
