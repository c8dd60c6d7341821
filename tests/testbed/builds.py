"""What every server's build shares: one cache for the machine, one build at a time, packages of Debian and Go.

In:  names of packages and modules. Out: what they install; `CannotBuildError` with what is missing.
Not here: which server needs what (`<server>_build.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Ten times what the longest build (MinIO) took beside other work on two cores.
LONGEST_BUILD_S = 3600.0


class CannotBuildError(Exception):
    """This machine has no such server and cannot make one. The message says what is missing."""


def cache_of(server: str) -> Path:
    """Return where this server is kept, for all test runs of this user."""
    return Path(os.environ.get("KIT_CACHE") or Path.home() / ".cache" / "oscar-testbed") / server


@contextlib.contextmanager
def one_build_at_a_time(cache: Path) -> Iterator[None]:
    """Wait until no other test run builds into this directory; made if missing."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_build(command: list[str], **variables: str) -> None:
    """Run one step of a build. Raises CannotBuildError with the end of what it said."""
    environment = {**os.environ, **variables}
    built = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_BUILD_S)
    if built.returncode:
        said = (built.stdout + built.stderr)[-2000:]
        raise CannotBuildError(f"{' '.join(command)} failed: {said}")


def go_install(module: str, version: str, directory: Path, ldflags: str = "") -> None:
    """Build the program of a Go module into a directory. Raises CannotBuildError."""
    if (go := shutil.which("go")) is None:
        raise CannotBuildError(f"{module} has to be built, which needs Go 1.24 or newer on the PATH")
    run_build(
        [go, "install", "-trimpath", f"-ldflags=-s -w {ldflags}".rstrip(), f"{module}@{version}"],
        GOFLAGS="",
        GOBIN=str(directory),
        CGO_ENABLED="0",
    )


def debian_packages(why: str, *packages: str) -> None:
    """Install packages where that is possible: as root, with apt. Raises CannotBuildError, beginning with `why`."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotBuildError(f"{why}; on Debian and Ubuntu: apt install {' '.join(packages)}")
    wait = ["-o", "DPkg::Lock::Timeout=300"]  # unattended upgrades hold it for minutes
    run_build(["apt-get", "-qq", *wait, "update"])
    run_build(
        ["apt-get", "-qq", "-y", "--no-install-recommends", *wait, "install", *packages],
        DEBIAN_FRONTEND="noninteractive",
    )
