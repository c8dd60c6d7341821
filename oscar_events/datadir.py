"""The data directory of a laptop's platform: what lies where in it, whose it is at the moment, where its front listens.

In:  a path. Out: the paths in it, the lock on it, the storage's clock, and `up.json`, by which others find the front.
Not here: what the files hold (bus/, ledger/), starting anything (standalone.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from oscar_events.errors import ConfigurationError, InUseError
from oscar_events.sqlite import refuse_network_file_system

# The storage provider whose buckets are the directories in `buckets`.
LOCAL_PROVIDER = "local.default"

# A command that holds the lock does so for milliseconds; so often it is tried again while somebody waits for it.
_TRY_AGAIN_S = 0.05
# So long a platform waits for such a command to be through before it takes the holder for another platform.
_PATIENCE_S = 1.0


class Up(msgspec.Struct, frozen=True):
    """Where a running platform is found: its process, its port on 127.0.0.1, the token its front asks for."""

    pid: int
    port: int
    token: str


class DataDirectory:
    """A directory that belongs to one platform. Nothing is created or opened before `lock`.

    config: where its configuration is, if that is no file in it.
    """

    def __init__(self, path: Path, config: Path | None = None) -> None:
        self.path = Path(os.path.abspath(path))  # workers and scripts run elsewhere
        self.log_db = self.path / "log.db"
        self.ledger_db = self.path / "ledger.db"
        self.buckets = self.path / "buckets"
        self.jobs = self.path / "jobs"
        self.staging = self.path / "staging"
        self.config_is_named = config is not None
        self.config = self.path / "config.yaml" if config is None else Path(os.path.abspath(config))
        self.secrets = self.path / "secrets"
        self._up = self.path / "up.json"
        self.lock_file = self.path / "lock"

    def create(self) -> None:
        """Make the directory and those in it; what exists stays.

        Raises ConfigurationError if it is a file, cannot be written, or lies on a network file system.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.buckets, self.jobs, self.staging):
                directory.mkdir(exist_ok=True)
        except OSError as error:
            raise _unusable(self.path, error) from error
        refuse_network_file_system(self.path)

    def create_for_jobs(self) -> None:
        """Make the directory and that of jobs, as far as they are missing; several processes may, and none locks it.

        Raises as `create`: the locks of attempts need a local disk as well.
        """
        try:
            self.jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.path, error) from error
        refuse_network_file_system(self.jobs)

    def exists(self) -> bool:
        """Return whether anybody ever held it: any other directory is not ours to write to unasked."""
        return self.lock_file.exists()

    @asynccontextmanager
    async def lock(self, patience_s: float = _PATIENCE_S) -> AsyncIterator[None]:
        """Create the directory and hold it: one process at a time, until the block or the process ends.

        patience_s: how long to wait for somebody else to let go. Raises InUseError naming the holder's pid, and what
        `create` raises.
        """
        self.create()
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            await self._acquire(descriptor, patience_s)
            self._up.unlink(missing_ok=True)  # of a platform that was killed
            try:
                yield
            finally:
                self._up.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    async def _acquire(self, descriptor: int, patience_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._in_use(descriptor) from error
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return

    def _in_use(self, descriptor: int) -> InUseError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
        return InUseError(f"{self.path} is in use by process {holder}; stop that one, or name another directory")

    def empty_staging(self) -> None:
        """Remove what is being written, as far as anybody may; for whoever has just got the lock."""
        for left in self.staging.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def write_up(self, port: int, token: str) -> None:
        """Tell the other commands where this process's front listens; whoever holds the lock may."""
        made = self.path / f"up.json.{secrets.token_hex(4)}"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(Up(os.getpid(), port, token)) + b"\n")
        made.rename(self._up)

    def read_up(self) -> Up | None:
        """Return where the running platform is found, None if none has said so (yet)."""
        try:
            return msgspec.json.decode(self._up.read_bytes(), type=Up)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(f"{self._up} cannot be read: {error}; restart the platform") from error

    def storage_time(self) -> datetime:
        """Return the time by the clock that stamps the files of the buckets: the file system's, not this process's."""
        probe = self.path / f".clock.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                return datetime.fromtimestamp(os.fstat(descriptor).st_ctime, UTC)
            finally:
                os.close(descriptor)
                probe.unlink()
        except OSError as error:
            raise _unusable(self.path, error) from error


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    reason = "it is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
    return ConfigurationError(f"cannot use {path} as data directory: {reason}; name a directory you may write to")
