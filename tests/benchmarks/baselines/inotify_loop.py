"""The least one could write by hand: watch a directory, run the script on each file, move the result into place.

In:  input directory, output directory, script on the command line. Out: `output/<name>` for each `input/<name>`.
Not here: anything that survives a crash, a retry, a second service; that is the point of the comparison. It does the
same file work: the input is copied aside, the script runs in a shell, the result is synced and renamed into place.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from asyncinotify import Inotify, Mask


async def run_one(source: Path, results: Path, script: Path) -> None:
    """Run the script on one file and put what it leaves into results."""
    with tempfile.TemporaryDirectory(dir=results.parent) as work:
        copied, made = Path(work, "input", source.name), Path(work, "output")
        copied.parent.mkdir()
        made.mkdir()
        shutil.copyfile(source, copied)
        environment = {"PATH": os.environ["PATH"], "INPUT_FILE_PATH": str(copied), "TMP_OUTPUT_DIR": str(made)}
        child = await asyncio.create_subprocess_exec("/bin/sh", str(script), env=environment)
        if await child.wait() == 0:
            for file in made.iterdir():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
                file.rename(results / file.name)


async def main(inputs: Path, results: Path, script: Path) -> None:
    """Watch for ever, one file after another."""
    with Inotify() as inotify:
        inotify.add_watch(inputs, Mask.CLOSE_WRITE | Mask.MOVED_TO)
        print("watching", flush=True)
        async for event in inotify:
            if event.path is not None:
                await run_one(Path(event.path), results, script)


if __name__ == "__main__":
    asyncio.run(main(*(Path(argument) for argument in sys.argv[1:4])))
