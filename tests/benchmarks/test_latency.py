"""How long from a file closed in the input folder to its result visible, next to a bare inotify loop."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncinotify import Inotify, Mask

from tests.acceptance.platform import COPY, running_platform
from tests.benchmarks import figures
from tests.benchmarks.baselines import inotify_loop

pytestmark = pytest.mark.benchmark

FILES = 100  # a p99 that is more than the worst of a handful
PACE_S = 0.2  # 5 files/s


@contextlib.contextmanager
def bare_loop(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Run the loop; yield its input and output directories."""
    inputs, results, script = directory / "in", directory / "out", directory / "script.sh"
    inputs.mkdir(parents=True)
    results.mkdir()
    script.write_text(COPY)
    command = [sys.executable, str(Path(inotify_loop.__file__)), str(inputs), str(results), str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline() == b"watching\n"
        try:
            yield inputs, results
        finally:
            loop.terminate()


def drop_and_wait(inputs: Path, results: Path, name: str) -> float:
    """Return the seconds from closing a file to its result being visible, as the kernel tells."""
    with Inotify() as inotify:
        inotify.add_watch(results, Mask.MOVED_TO | Mask.CLOSE_WRITE)
        (inputs / name).write_bytes(os.urandom(1000))
        closed = time.perf_counter()
        while not (results / name).exists():
            select.select([inotify.fd], [], [], 10)
        return time.perf_counter() - closed


def test_file_closed_to_result_visible(tmp_path: Path) -> None:
    with running_platform(tmp_path / "data") as platform, bare_loop(tmp_path / "bare") as bare:
        assert platform.apply("copy", COPY).returncode == 0
        buckets = platform.data / "buckets" / "pics"
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(-5, FILES):  # five to warm up
            for seconds, (inputs, results) in ((ours, (buckets / "in", buckets / "out")), (theirs, bare)):
                began = time.perf_counter()
                took = drop_and_wait(inputs, results, f"{number}.bin")
                if number >= 0:
                    seconds.append(took)
                time.sleep(max(0, PACE_S / 2 - (time.perf_counter() - began)))
    print("\nfile closed in the input folder -> result visible, script cp, 5 files/s each, alternating")
    print(figures.latency("oscar-events", ours))
    print(figures.latency("bare inotify loop that spawns the script", theirs))
