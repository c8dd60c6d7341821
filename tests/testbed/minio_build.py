"""The MinIO server, built from the Go module proxy once per machine.

In:  Go on the PATH, a cache directory. Out: the path of the server's binary.
Not here: running it (minio.py).

MinIO's releases are gone with its project; its last community commit is still a Go module. Its tags are no semantic
versions, so the module is named by its pseudo-version. Building takes about 4 minutes of CPU.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.testbed.builds import cache_of, go_install, one_build_at_a_time

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"


def minio_binary() -> Path:
    """Return the server's binary, built first if it is not there in this version. Raises CannotBuildError."""
    cache = cache_of("minio")
    binary, version = cache / "bin" / "minio", cache / "bin" / "minio.version"
    if not _is_there(binary, version):
        with one_build_at_a_time(cache):
            if not _is_there(binary, version):
                go_install(MODULE, VERSION, binary.parent, _release())
                version.write_text(f"{VERSION}\n")
    return binary


def _is_there(binary: Path, version: Path) -> bool:
    return binary.is_file() and version.is_file() and version.read_text().strip() == VERSION


def _release() -> str:
    """Return what a release build sets; without it the server takes itself for a development version."""
    found = re.match(r"v0\.0\.0-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-", VERSION)
    assert found
    year, month, day, hour, minute, second = found.groups()
    tag = f"RELEASE.{year}-{month}-{day}T{hour}-{minute}-{second}Z"
    version = f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
    return f"-X {MODULE}/cmd.ReleaseTag={tag} -X {MODULE}/cmd.Version={version}"
