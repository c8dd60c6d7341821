"""How far the demo's pictures are, shown while it happens.

In:  pictures with their runs. Out: a live table on a terminal, elsewhere a line per step.
Not here: moving them on (command.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from oscar_events.cli.output import state
from oscar_events.execution import State

_STEPS = (("seen", "created_at"), ("started", "started_at"), ("finished", "ended_at"))


@dataclass(slots=True)
class Picture:
    """A picture and what became of it. verdict: what the check of its result said, empty until it was checked."""

    number: int
    name: str
    dropped_at: datetime
    run: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.run) and State(self.run["state"]).is_terminal

    def step(self, column: str) -> str:
        """Return when it got there, in milliseconds from the drop; empty if it has not."""
        at = self.run.get(column)
        return f"{(datetime.fromisoformat(at) - self.dropped_at).total_seconds() * 1000:.0f} ms" if at else ""


class Progress:
    """Shows pictures. A context manager; a terminal keeps the last table when it is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._told: set[tuple[str, str]] = set()

    def show(self, pictures: Sequence[Picture]) -> None:
        """Show how far these are."""
        if self._live is not None:
            self._live.update(_table(pictures), refresh=True)
            return
        for picture in pictures:
            for step, column in _STEPS:
                if picture.step(column):
                    self._tell(picture, step, f"{step} after {picture.step(column)}")
            if picture.verdict:
                self._tell(picture, "verdict", f"{picture.run.get('state', 'not seen')}, result {picture.verdict}")

    def _tell(self, picture: Picture, step: str, line: str) -> None:
        if (picture.name, step) not in self._told:
            self._told.add((picture.name, step))
            self._console.print(f"{picture.name}: {line}")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _table(pictures: Sequence[Picture]) -> Table:
    table = Table("picture", *(step for step, _ in _STEPS), "state", "result", box=None, header_style="bold")
    for picture in pictures:
        steps = (picture.step(column) for _, column in _STEPS)
        table.add_row(picture.name, *steps, state(picture.run.get("state", "dropped")), picture.verdict)
    return table
