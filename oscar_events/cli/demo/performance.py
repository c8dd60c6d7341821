"""The demo itself: a platform started, pictures dropped one after another, runs watched, results judged.

In:  a data directory, how many pictures, the script if not the demo's own. Out: whether every result is right.
Not here: the command line (command.py), what is right (pictures.py), what people see of it (progress.py).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from oscar_events import log
from oscar_events.cli import output
from oscar_events.cli.client import FrontClient
from oscar_events.cli.demo.pictures import draw, fault
from oscar_events.cli.demo.progress import Picture, Progress
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, UnavailableError
from oscar_events.fdl import load_service_file
from oscar_events.lifecycle import Stop
from oscar_events.service import Service
from oscar_events.standalone import Standalone, StandaloneSettings

_SERVICE_FILE = Path(__file__).with_name("service.yaml")
_BETWEEN_DROPS_S = 0.2  # so that one sees them come in one after another
_BETWEEN_LOOKS_S = 0.05
_START_S = 30.0  # a cold disk may need some seconds to read the interpreter and the packages
# A run takes a tenth of a second. When none has ended for so long they hang, or fail and are tried again for a day.
_PATIENCE_S = 60.0
_RIGHT = "right"


async def perform(directory: DataDirectory, count: int, script: Path | None, keep: bool) -> bool:
    """Return whether every picture has its result, and the right one. Raises ConfigurationError, UnavailableError.

    keep: the directory stays, so say what lies where in it.
    """
    service = _service(script)
    directory.create()
    console = output.console()
    stop, listening = Stop(), asyncio.Event()
    with (directory.path / "platform.log").open("a", buffering=1) as platform_log:
        log.configure(platform_log)
        async with asyncio.TaskGroup() as tasks:
            platform = Standalone(directory, StandaloneSettings(), stop)
            tasks.create_task(platform.run(lambda port: listening.set()), name="platform")
            try:
                await listening.wait()
                pictures = await _process(directory, service, count, console)
            finally:
                stop.request()
    right = sum(picture.verdict == _RIGHT for picture in pictures)
    console.print(f"\n{right} of {count} results are there and right, each pixel recomputed another way.")
    if keep:
        _tell_where(console, directory, service, pictures)
    return right == count


def _service(script: Path | None) -> Service:
    """Return the demo's service. The script's Python is this one: nothing else is sure to be installed."""
    [loaded] = load_service_file(_SERVICE_FILE)
    document = loaded.service.document()
    document["environment"]["variables"]["PYTHON"] = sys.executable
    if script is not None:
        try:
            document["script"] = script.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the script {script}: {error}; name a text file") from error
    return Service.from_document(document)


async def _process(directory: DataDirectory, service: Service, count: int, console: Console) -> list[Picture]:
    front = await _ready(directory)
    await front.apply([service.document()])
    earlier = {run["id"] for run in await front.runs(service=service.name)}
    console.print(f"dropping {count} pictures in {directory.buckets / service.input[0].path}", soft_wrap=True)
    pictures: list[Picture] = []
    clock = asyncio.get_running_loop().time
    next_drop = clock()
    deadline = next_drop + _PATIENCE_S
    with Progress(console) as progress:
        while clock() < deadline and not (len(pictures) == count and all(picture.verdict for picture in pictures)):
            if len(pictures) < count and clock() >= next_drop:
                pictures.append(_drop(directory, service, len(pictures) + 1))
                next_drop += _BETWEEN_DROPS_S
            await asyncio.sleep(_BETWEEN_LOOKS_S)
            runs = {run["key"]: run for run in await front.runs(service=service.name) if run["id"] not in earlier}
            for picture in pictures:
                picture.run = runs.get(f"{service.input[0].folder}/{picture.name}", {})
                if picture.is_over and not picture.verdict:
                    picture.verdict = _judge(directory, picture)
                    deadline = clock() + _PATIENCE_S
            progress.show(pictures)
        for picture in pictures:
            picture.verdict = picture.verdict or f"missing: no run has ended for {_PATIENCE_S:.0f} s"
        progress.show(pictures)
    return pictures


async def _ready(directory: DataDirectory) -> FrontClient:
    up = directory.read_up()
    assert up is not None  # written before the platform says that it listens
    front = FrontClient(up)
    try:
        async with asyncio.timeout(_START_S):
            while True:
                if await front.is_ready():
                    return front
                await asyncio.sleep(_BETWEEN_LOOKS_S)
    except TimeoutError as error:
        where = directory.path / "platform.log"
        raise UnavailableError(f"the platform is not ready after {_START_S:.0f} s; {where} says more") from error


def _drop(directory: DataDirectory, service: Service, number: int) -> Picture:
    """Put a picture in the bucket as `mv` does: it is there whole or not at all."""
    picture = Picture(number, f"picture-{number}.png", datetime.now(UTC))
    made = directory.path / picture.name
    made.write_bytes(draw(number))
    made.rename(directory.buckets / service.input[0].path / picture.name)
    return picture


def _judge(directory: DataDirectory, picture: Picture) -> str:
    """Return what is to be said of the result of a run that has ended: that it is right, or why not."""
    outputs: list[str] = picture.run["outputs"]
    if len(outputs) != 1:
        return f"{len(outputs)} results instead of one: {picture.run['reason'] or 'the script wrote no other'}"
    try:
        result = (directory.buckets / outputs[0]).read_bytes()
    except OSError as error:
        return f"missing: {outputs[0]}: {error.strerror}"
    wrong = fault(picture.number, result)
    return f"wrong: {wrong}" if wrong else _RIGHT


def _tell_where(console: Console, directory: DataDirectory, service: Service, pictures: Sequence[Picture]) -> None:
    # Run from a checkout, the command is not on the PATH: say what can be typed.
    name = "oscar-events" if shutil.which("oscar-events") else os.path.relpath(sys.argv[0])
    command = f"{name} --data {directory.path}"
    run = next((picture.run["id"] for picture in pictures if picture.run), "RUN")
    for what, where in (
        ("results", directory.buckets / service.output[0].path),
        ("platform's log", directory.path / "platform.log"),
        ("all runs", f"{command} runs"),
        ("one script's output", f"{command} logs {run}"),
        (
            "go on with your own",
            f"{command} up   # and drop PNG pictures in {directory.buckets / service.input[0].path}",
        ),
    ):
        console.print(f"  {what + ':':<21}{where}", soft_wrap=True)
