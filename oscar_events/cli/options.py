"""The options that several commands share, and how they are read.

In:  the command line. Out: the data directory a command is about.
Not here: the commands (one module per group).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from oscar_events.cli import completion
from oscar_events.datadir import DataDirectory

DATA_VARIABLE = "OSCAR_EVENTS_DATA"
CONFIG_VARIABLE = "OSCAR_EVENTS_CONFIG"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help=f"The platform's directory; before or after the command, or in {DATA_VARIABLE}. "
        "Otherwise ~/.local/share/oscar-events, without a usable home ./oscar-events-data.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"The platform's configuration; before the command, or in {CONFIG_VARIABLE}. "
        "Otherwise config.yaml in its directory.",
        show_default=False,
    ),
]
# What fits a screen or two; --json and --limit give more.
SHOWN = 50
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, help=f"At most so many, newest first. Default: {SHOWN}; with --json all.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The run's id, or the beginning of it.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
ServiceName = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="The service's name.", show_default=False, autocompletion=completion.services
    ),
]


def data_directory(context: typer.Context) -> DataDirectory:
    """Return the directory a command is about."""
    named = named_directory(context) or os.environ.get(DATA_VARIABLE)
    config = _nearest(context, "config") or os.environ.get(CONFIG_VARIABLE)
    return DataDirectory(Path(named) if named else default_directory(), Path(config) if config else None)


def named_directory(context: typer.Context) -> Path | None:
    """Return what --data says, the one nearest to the command first; None if it is not given."""
    return _nearest(context, "data")


def _nearest(context: typer.Context, option: str) -> Path | None:
    level: typer.Context | None = context
    while level is not None:
        if isinstance(named := level.params.get(option), Path):
            return named
        level = level.parent  # type: ignore[assignment] # typer's own base class, with the same attributes
    return None


def default_directory() -> Path:
    """Return where the data goes when nobody says."""
    home = os.environ.get("HOME", "")
    usable = os.path.isabs(home) and os.access(home, os.W_OK | os.X_OK)
    return Path(home, ".local", "share", "oscar-events") if usable else Path("oscar-events-data")
