"""PostgreSQL as Debian packages it.

In:  the packages, installed here by apt if we are root. Out: the directory of the newest version's programs.
Not here: running them (postgres.py).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.testbed.builds import cache_of, debian_packages, one_build_at_a_time

_WHY = "PostgreSQL is not there"
_CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")


def postgres_binaries() -> Path:
    """Return where `postgres`, `initdb` and `psql` are. Raises CannotBuildError."""
    if (found := _newest()) is None:
        with one_build_at_a_time(cache_of("postgres")):
            if (found := _newest()) is None:
                _install()
                found = _newest()
    assert found is not None
    return found


def _newest() -> Path | None:
    """Return the newest of Debian's versions beside each other, or what is on the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which("postgres")
    return Path(os.path.realpath(found)).parent if found else None


def _install() -> None:
    debian_packages(_WHY, "postgresql-common")  # first alone, so that the package starts no server of its own
    if "\ncreate_main_cluster = false" not in _CLUSTERS.read_text():
        with _CLUSTERS.open("a") as file:
            file.write("\ncreate_main_cluster = false\n")
    debian_packages(_WHY, "postgresql")
