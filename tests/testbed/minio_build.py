"""The MinIO server, built from the Go module proxy once per machine.

In:  Go on the PATH, a cache directory. Out: the path of the server's binary.
Not here: running it (minio.py).

MinIO's releases are gone with its project; its last community commit is still a Go module. Its tags are no semantic
versions, so the module is named by its pseudo-version. Building takes about 4 minutes of CPU.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
# Ten times what it took beside other work on two cores.
_LONGEST_BUILD_S = 3600.0


class CannotBuildError(Exception):
    """This machine has no MinIO and cannot make one. The message says what is missing."""


def minio_binary() -> Path:
    """Return the server's binary, built first if it is not there in this version. Raises CannotBuildError."""
    cache = Path(os.environ.get("KIT_CACHE") or Path.home() / ".cache" / "oscar-testbed") / "minio"
    binary, version = cache / "bin" / "minio", cache / "bin" / "minio.version"
    if _is_there(binary, version):
        return binary
    if (go := shutil.which("go")) is None:
        raise CannotBuildError("MinIO has to be built, which needs Go 1.24 or newer on the PATH")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be building it
        if not _is_there(binary, version):
            _build(go, binary.parent)
            version.write_text(f"{VERSION}\n")
    return binary


def _is_there(binary: Path, version: Path) -> bool:
    return binary.is_file() and version.is_file() and version.read_text().strip() == VERSION


def _build(go: str, directory: Path) -> None:
    built = subprocess.run(
        [go, "install", "-trimpath", f"-ldflags=-s -w {_release()}", f"{MODULE}@{VERSION}"],
        env={**os.environ, "GOFLAGS": "", "GOBIN": str(directory), "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=_LONGEST_BUILD_S,
    )
    if built.returncode:
        raise CannotBuildError(f"go install {MODULE}@{VERSION} failed: {built.stderr[-2000:]}")


def _release() -> str:
    """Return what a release build sets; without it the server takes itself for a development version."""
    found = re.match(r"v0\.0\.0-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-", VERSION)
    assert found
    year, month, day, hour, minute, second = found.groups()
    tag = f"RELEASE.{year}-{month}-{day}T{hour}-{minute}-{second}Z"
    version = f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
    return f"-X {MODULE}/cmd.ReleaseTag={tag} -X {MODULE}/cmd.Version={version}"
