"""The sources over HTTP as config.yaml has them now: their routes, and who may send to them.

In:  the data directory and what its config.yaml said at the start. Out: a source by its name, as the file is at this
moment; what is wrong with the file, if something is; what of it waits for a restart.
Not here: what the file may say (oscar_events/config_file.py), HTTP (webhook.py).

The file is looked at once a second, and at once when a request would be refused, so that a token can be replaced, or a
source added, without a restart and without a moment in which events are refused. A file that is broken changes nothing.

Storage providers stay those of the start: runs are under way with them. A source that came or moved to one that the
file has changed since waits for the restart: its events would be taken for those of another store.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from oscar_events.config import PlatformConfig, SourceConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.log import logger
from oscar_events.notifications.port import Route

_log = logger(__name__)

# A file that changed so lately may still be being written: a moment ago it was empty, and an empty one is valid. An
# editor is through in milliseconds.
_STILL_NS = 500_000_000
# What is wrong may be a file that only the broken one names: that is tried again after this.
_RETRY_NS = 1_000_000_000

# How long a token that was taken out may still be accepted. Not at every request: a stat lets go of the interpreter's
# lock, and to get it back from the bus's writer took 0.1 ms of each (a quarter of the request).
_LOOK_NS = 1_000_000_000

# Per file what tells that it changed; None for one that cannot be looked at.
_Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """A source. digests: SHA-256 of the tokens it accepts, so that comparing takes as long for any token.

    is_waiting: its provider is in force only after a restart; until then none of its events may be taken.
    """

    route: Route
    digests: tuple[bytes, ...]
    is_waiting: bool = False

    def accepts(self, authorization: bytes) -> bool:
        """Tell whether an `Authorization` header carries one of the tokens, in constant time."""
        scheme, _, token = authorization.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        matches = [
            hmac.compare_digest(digest, expected) for expected in self.digests
        ]  # all of them, whatever the first
        return scheme.lower() == b"bearer" and any(matches)


class ConfiguredSources:
    """The sources, kept up to date. problem: why the file as it is now is not in use; empty if it is.

    waiting: which storage providers of the file are not those in force, until a restart; empty if all are.
    """

    def __init__(
        self, directory: DataDirectory, config: PlatformConfig, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.problem = self.waiting = ""
        self._directory, self._clock = directory, clock
        self._in_force = config
        self._files = config.files
        self._seen = self._settled()
        self._looked_at = self._read_at = clock()
        self._sources = _sources(config)

    def find(self, name: str) -> ConfiguredSource | None:
        """Return the source of this name, None if there is none."""
        if name not in self._sources or self._clock() - self._looked_at >= _LOOK_NS:
            self.refresh()
        return self._sources.get(name)

    def admitting(self, name: str, authorization: bytes) -> ConfiguredSource | None:
        """Return the source of this name if it accepts the header; before it refuses, the file is looked at again."""
        source = self.find(name)
        if source is not None and not source.accepts(authorization):
            self.refresh()
            source = self._sources.get(name)
        return source if source is not None and source.accepts(authorization) else None

    async def watch(self) -> None:
        """Look at the file for ever, so that the log tells what is wrong with it also while nobody asks."""
        while True:
            self.refresh()
            await asyncio.sleep(_LOOK_NS / 1_000_000_000)

    def refresh(self) -> None:
        """Read the file again if it, or one it names, has changed and is still."""
        self._looked_at = self._clock()
        signature = self._signature()
        is_due = bool(self.problem) and self._clock() - self._read_at >= _RETRY_NS
        if (signature != self._seen or is_due) and self._is_still(signature):
            self._seen, self._read_at = signature, self._clock()
            self._read()

    def _read(self) -> None:
        try:
            config = load_config(self._directory)
        except (ConfigurationError, OSError) as error:  # OSError: it went while it was looked at, or must not be
            problem = f"{error} (what it said before stays in force)"
            if problem != self.problem:
                _log.error("the changed configuration is not used", error=str(error))
            self.problem = problem
            return
        if config.files != self._files:
            self._files = config.files
            self._seen = self._settled()
        sources = {name: self._until_restart(name, source, config) for name, source in _sources(config).items()}
        if sources != self._sources or self.problem:
            _log.info("sources read again", sources=sorted(sources))
        self._sources, self.problem = sources, ""
        self._compare_storage(config)

    def _until_restart(self, name: str, source: ConfiguredSource, config: PlatformConfig) -> ConfiguredSource:
        """Return the source; waiting, if it came or moved to a provider that the file and the platform know apart."""
        provider, before = source.route.provider, self._sources.get(name)
        is_known = before is not None and before.route.provider == provider and not before.is_waiting
        is_in_force = config.provider(provider) == self._in_force.provider(provider)
        return replace(source, is_waiting=not is_known and not is_in_force)

    def _compare_storage(self, config: PlatformConfig) -> None:
        known = dict.fromkeys([*self._in_force.providers(), *config.providers()])
        changed = [one for one in known if config.provider(one) != self._in_force.provider(one)]
        if changed and not self.waiting:
            _log.warning("storage_providers changed; restart the platform to use them", providers=changed)
        changed += self._changed_readers(config)
        changed += ["settings"] if config.settings != self._in_force.settings else []
        told = f"changed in config.yaml and not in use before a restart: {', '.join(changed)}"
        self.waiting = told if changed else ""

    def _changed_readers(self, config: PlatformConfig) -> list[str]:
        """Return the sources that read or listen and are not those that run: these were opened at the start."""
        names = dict.fromkeys([*self._in_force.sources, *config.sources])
        pairs = [(f"the source {name}", self._in_force.sources.get(name), config.sources.get(name)) for name in names]
        read = [pair for pair in pairs if any(one is not None and not one.is_pushed for one in pair[1:])]
        return [what for what, before, now in read if before != now]

    def _settled(self) -> _Signature | None:
        """Return the signature of what was just read; None if it may have been being written: it is read again."""
        signature = self._signature()
        return signature if self._is_still(signature) else None

    def _signature(self) -> _Signature:
        return tuple(_changed(file) for file in self._files)

    def _is_still(self, signature: _Signature) -> bool:
        """Tell whether no file changed just now. By the time of change, which no tool sets; one ahead of us is none.

        A file that is gone may be being replaced, as editors do that keep the old one: its directory changed just now.
        """
        now = self._clock()
        changed = [one or _changed(file.parent) for file, one in zip(self._files, signature, strict=True)]
        return not any(one is not None and 0 <= now - one[0] < _STILL_NS for one in changed)


def _changed(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ctime_ns, status.st_ino, status.st_size


def _sources(config: PlatformConfig) -> dict[str, ConfiguredSource]:
    return {name: _source(source) for name, source in config.sources.items() if source.is_pushed}


def _source(source: SourceConfig) -> ConfiguredSource:
    return ConfiguredSource(source.route, tuple(hashlib.sha256(token.encode()).digest() for token in source.tokens))
