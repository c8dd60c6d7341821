"""A real PostgreSQL server on a free port of the loopback address, with data of its own.

In:  a directory. Out: a server that is started, killed, paused with all its processes; databases by their URL.
Not here: its programs (postgres_build.py), the ledger's tables.

PostgreSQL refuses to be root's. As root its data is therefore not in the directory it is given, which other users
cannot reach below pytest's own, but in a temporary one of the user `postgres`, removed with the server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.acceptance.platform import until
from tests.testbed.ports import free_port
from tests.testbed.postgres_build import postgres_binaries
from tests.testbed.server import Server

OWNER = "oscar"
# Told from every other word, so that a test can look for it in what must not hold it.
PASSWORD = "the-testbeds-database-password"
_SYSTEM_USER = "postgres"
_DATABASES = count(1)


@dataclass
class PostgresServer(Server):
    """One server. fsync: off, as a killed process loses nothing it wrote; only a machine does."""

    directory: Path
    port: int = field(default_factory=free_port)
    fsync: bool = False
    process: subprocess.Popen[bytes] | None = None
    # Fast: sessions are ended, not awaited.
    stopped_by = signal.SIGINT
    _data: Path | None = field(default=None, init=False)

    def launch(self) -> None:
        if self._data is None:
            self._data = self._make_data()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "max_connections": "200",  # of all tests that share it
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        program = postgres_binaries() / "postgres"
        self.run([program, "-D", self._data, "-p", str(self.port), *options], user=_user())

    def is_ready(self) -> bool:
        return self._psql("SELECT 1").returncode == 0

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the URL of an empty database nobody else has."""
        name = f"test_{next(_DATABASES)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as psql does; return its rows, a line each, columns separated by `|`."""
        done = self._psql(sql, database)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dump(self, database: str, file: Path) -> None:
        """Write all of a database to a file, as operators do."""
        self._run("pg_dump", "--format=custom", f"--file={file}", self.url(database))

    def restore(self, database: str, file: Path) -> None:
        """Have a database hold what the file has and nothing else; whoever is connected is thrown out."""
        self.execute(f"DROP DATABASE {database} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {database}")
        self._run("pg_restore", "--dbname", self.url(database), "--exit-on-error", file)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that nobody can catch goes to all its processes, as if to the machine."""
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT):
            super().send(number)
            return
        if number is signal.SIGKILL:
            super().send(signal.SIGSTOP)  # it neither starts others nor notices the end of the first meanwhile
        family = self._children()
        for process in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        super().send(number)
        if number is signal.SIGKILL:  # the next one is refused while one of them holds the shared memory
            until(lambda: not any(map(_lives, family)), "PostgreSQL's processes are gone")

    def remove(self) -> None:
        """Remove its data."""
        if self._data is not None:
            shutil.rmtree(self._data)
            self._data = None

    def _make_data(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        if _user() is None:
            data = self.directory / "data"
        else:
            data = Path(tempfile.mkdtemp(prefix="oscar-events-postgres-"))
            shutil.chown(data, _SYSTEM_USER, _SYSTEM_USER)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(PASSWORD)
            password.flush()
            if _user() is not None:
                shutil.chown(password.name, _SYSTEM_USER)
            options = ("-U", OWNER, f"--pwfile={password.name}", "-A", "scram-sha-256", "-E", "UTF8")
            subprocess.run(
                [postgres_binaries() / "initdb", "-D", data, *options, "--locale=C.UTF-8", "--no-sync"],
                user=_user(),
                group=_user(),
                extra_groups=None if _user() is None else [],
                cwd="/",
                check=True,
                capture_output=True,
            )
        return data

    def _children(self) -> list[int]:
        assert self.process is not None
        parent = self.process.pid
        return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [postgres_binaries() / program, *arguments], env={"PATH": os.defpath}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def _psql(self, sql: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        arguments = ("--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atqc", sql, self.url(database))
        return subprocess.run(
            [postgres_binaries() / "psql", *arguments],
            env={"PATH": os.defpath, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True,
            text=True,
        )


def _user() -> str | None:
    return _SYSTEM_USER if os.geteuid() == 0 else None


def _lives(process: int) -> bool:
    """Return whether it is there and no zombie, which holds nothing."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2][:1] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def running_postgres(directory: Path, *, fsync: bool = False) -> Iterator[PostgresServer]:
    """Start a server and end it with the block, whatever happened."""
    server = PostgresServer(directory, fsync=fsync)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.remove()
