"""The command line with parts that stand still while a file of their name is in the directory STALLS names.

In:  a command line, as `oscar-events` takes it. Out: what that does; four seconds without progress are a stall.
Not here: what is proven with it (test_livez.py). The product has no switch for any of this.

They stand still as a deadlock would have them: nobody raises anything, and nobody is known to be away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import patch

from oscar_dispatcher.batch import Claimer
from oscar_dispatcher.schedule import Scheduler
from oscar_events import progress
from oscar_events.bus.kafka import KafkaBus
from oscar_events.cli import app

P = ParamSpec("P")
T = TypeVar("T")

# Instead of half a minute, which a test would wait for three times; what has nothing to do says so every second.
_STALLED_S = 4.0
_LOOK_S = 0.05


def _standing_still(file: Path, step: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @wraps(step)
    async def stepping(*arguments: P.args, **options: P.kwargs) -> T:
        while file.exists():  # noqa: ASYNC110 files set no Event
            await asyncio.sleep(_LOOK_S)
        return await step(*arguments, **options)

    return stepping


def main() -> None:
    """Become that build, and do what the command line says."""
    directory = Path(os.environ.pop("STALLS"))
    patch.object(progress, "STALLED_S", _STALLED_S).start()
    for name, owner, step in (
        ("consumer", Claimer, "claim"),
        ("scheduler", Scheduler, "_lease"),
        ("publisher", KafkaBus, "publish"),
    ):
        patch.object(owner, step, _standing_still(directory / name, getattr(owner, step))).start()
    app.main()


if __name__ == "__main__":
    main()
