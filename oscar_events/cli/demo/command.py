"""The command `demo`: the whole platform at work on a few pictures, every result checked.

In:  a number of pictures. Out: their grey versions in the output bucket; whether every one is there and right.
Not here: the pictures (pictures.py), the table (progress.py), the platform (standalone.py).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from oscar_events.cli.exit_codes import ExitCode
from oscar_events.cli.options import named_directory
from oscar_events.datadir import DataDirectory

# The runs of the demo are found in one page of the front (manager/app.py), with room for those of an earlier one.
_MOST_PICTURES = 500


def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Default: a fresh temporary directory.", show_default=False),
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, max=_MOST_PICTURES, help="How many.")] = 8,
    script: Annotated[
        Path | None,
        typer.Option("--script", exists=True, dir_okay=False, help="Run this instead.", show_default=False),
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave pictures, results and logs where they are.")] = True,
) -> None:
    """Start a platform, drop pictures in a bucket, have each turned grey by a script, check every result.

    Works in a fresh temporary directory unless --data is given. Ends with 0 if every result is there and right.
    """
    import asyncio

    from oscar_events.cli.demo.performance import perform

    named = named_directory(context)
    if named is not None and not keep:
        raise typer.BadParameter("--no-keep would remove the directory given by --data; use one of them")
    directory = DataDirectory(named or Path(tempfile.mkdtemp(prefix="oscar-events-demo-")))
    try:
        if not asyncio.run(perform(directory, pictures, script, keep)):
            raise typer.Exit(ExitCode.FAILED)
    finally:
        if not keep:
            shutil.rmtree(directory.path)
