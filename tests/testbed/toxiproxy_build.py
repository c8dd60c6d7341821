"""Toxiproxy, built from the Go module proxy once per machine, in half a minute.

In:  Go on the PATH, a cache directory. Out: the path of the server's binary.
Not here: running it (toxiproxy.py).
"""

from __future__ import annotations

from pathlib import Path

from tests.testbed.builds import cache_of, go_install, one_build_at_a_time

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server"
VERSION = "v2.5.0"


def toxiproxy_binary() -> Path:
    """Return the server's binary, built first if it is not there in this version. Raises CannotBuildError."""
    cache = cache_of("toxiproxy") / VERSION
    binary = cache / "server"  # `go install` puts it there when it is whole
    if not binary.is_file():
        with one_build_at_a_time(cache):
            if not binary.is_file():
                go_install(MODULE, VERSION, cache)
    return binary
