"""A MinIO that serves listening connections: the last community release with the one method it lost given back.

In:  the module's sources from the Go proxy, Go on the PATH. Out: its binary, built once per machine; a server of it.
Not here: the release as it is (minio_build.py), which every other test uses.

Since minio/minio#21651 (October 2025) the server wraps its answers in a `trackingResponseWriter` without `Flush`, so a
listening connection gets nothing before 4 KiB have come together: no head, no event. Older releases send at once, and
the forks that go on (pgsty/silo#34, chainguard-forks/minio#37) added the method; this is that.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.testbed.builds import CannotBuildError, cache_of, one_build_at_a_time, run_build
from tests.testbed.minio import MinioServer
from tests.testbed.minio_build import MODULE, VERSION

_FLUSH = """package cmd

import "net/http"

// Flush hands on what the handlers of streams ask for.
func (w *trackingResponseWriter) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
"""


def listening_binary() -> Path:
    """Return the server's binary, built first if it is not there in this version. Raises CannotBuildError."""
    cache = cache_of("minio-listening")
    binary = cache / VERSION / "minio"
    with one_build_at_a_time(cache):
        if not binary.is_file():
            _build(cache / "source", binary)
    return binary


def _build(source: Path, binary: Path) -> None:
    if (go := shutil.which("go")) is None:
        raise CannotBuildError(f"{MODULE} has to be built, which needs Go 1.24 or newer on the PATH")
    found = subprocess.run([go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], capture_output=True, text=True)
    if found.returncode:
        raise CannotBuildError(f"{MODULE}@{VERSION} cannot be had: {found.stdout + found.stderr}"[:2000])
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(json.loads(found.stdout)["Dir"], source)
    for path in (source, source / "cmd"):
        path.chmod(0o755)  # Go's cache of modules is read-only
    (source / "cmd" / "api-response-flush.go").write_text(_FLUSH)
    binary.parent.mkdir(parents=True, exist_ok=True)
    made = binary.with_suffix(".new")
    run_build([go, "build", "-C", str(source), "-trimpath", "-ldflags=-s -w", "-o", str(made), "."], CGO_ENABLED="0")
    made.rename(binary)
    run_build(["chmod", "-R", "u+w", str(source)])
    shutil.rmtree(source)


class ListeningMinio(MinioServer):
    """A server of that build."""

    def run(self, command: Sequence[str | Path], *more: Any, **named: Any) -> None:
        super().run([listening_binary(), *command[1:]], *more, **named)


@contextlib.contextmanager
def running_listening_minio(directory: Path) -> Iterator[ListeningMinio]:
    """Start a server and end it with the block, whatever happened."""
    server = ListeningMinio(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
