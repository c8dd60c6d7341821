"""Secrets of services: where they stand in a document, and the files that hold them.

In:  a service document with values, or with references in their place. Out: the other; a masked one to show.
Not here: when values are needed (the dispatcher, at submit), who may apply (manager/), the platform's own providers
(config.py).

A value never reaches a revision, a log or an answer: there stands `{"$secret": "<id>"}`, and the value is a file of
mode 0600 by the name of the id. The id is a keyed hash of the value: the same value applied again is the same
reference, so nothing has changed; another value is another revision, and a run of an earlier one finds what it had.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from oscar_events.errors import ConfigurationError, ServiceError, UnavailableError

# What of a provider's settings may be seen (OSCAR's, reference/oscar.md §1.3). All else is taken for a secret: what
# somebody spelt wrongly, or a type that we do not know calls by another name, may be one.
_OPEN = frozenset(
    {
        *("type", "endpoint", "region", "verify", "credentials"),  # minio, s3
        *("oneprovider_host", "space", "hostname", "login"),  # onedata, webdav
        *("host", "account", "rse", "auth_host", "oidc_audience", "token_endpoint", "client_id", "scopes"),  # rucio
    }
)
# A URL may hold a password, whatever its key is called.
_USER_IN_URL = re.compile(r"://[^/\s]*@")
# What stands for values that are not shown: OSCAR's own words. Applied again they mean "as it was".
HIDDEN = "hidden"
_KEPT = frozenset({"", HIDDEN})

_REFERENCE = "$secret"
_KEY_FILE = ".key"
_LOCK_FILE = ".lock"
_KEY_BYTES = 32
# 130 bits of a keyed hash: nobody finds a second value, and nobody without the key can try values out.
_ID_CHARACTERS = 26

# From the top of a document, every key of it: what holds a secret.
Place = tuple[str | int, ...]


class SecretMissingError(ConfigurationError):
    """The file of a secret is gone or holds no text. The message names the remedy, never the value."""


class SecretUnavailableError(UnavailableError):
    """The file of a secret cannot be read now: out of descriptors, a disk in trouble."""


def reference(identity: str) -> dict[str, str]:
    """Return what stands in a document for the secret of this id."""
    return {_REFERENCE: identity}


def referred(value: object) -> str | None:
    """Return the id that a value refers to, None if it is no reference."""
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(found := value.get(_REFERENCE), str):
        return found
    return None


def is_secret(name: str, value: object) -> bool:
    """Return whether this setting of a storage provider lets somebody in, or may do so."""
    if name not in _OPEN or referred(value) is not None:
        return True
    return isinstance(value, str) and _USER_IN_URL.search(value) is not None


def places(document: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Yield where the canonical document of a service holds secrets, and what stands there."""
    environment = document.get("environment") or {}
    for name, value in (environment.get("secrets") or {}).items():
        yield ("environment", "secrets", name), value
    for kind, identities in (document.get("storage_providers") or {}).items():
        for identity, settings in (identities or {}).items():
            for name, value in (settings or {}).items():
                if is_secret(name, value):
                    yield ("storage_providers", kind, identity, name), value
    for name, cluster in (document.get("clusters") or {}).items():
        if "auth_password" in (cluster or {}):
            yield ("clusters", name, "auth_password"), cluster["auth_password"]
    federation = document.get("federation") or {}
    for index, member in enumerate(federation.get("members") or ()):
        for name, value in (member.get("headers") or {}).items():
            yield ("federation", "members", index, "headers", name), value


def concealed(document: Mapping[str, Any], before: Mapping[str, Any], refer: Callable[[str], str]) -> dict[str, Any]:
    """Return the document with references for its values; refer: value -> id, the value kept by then.

    before: the document as it is stored, whose references stay where the new one says nothing or `hidden`, so that
    what was shown can be applied again (OSCAR wipes it: reference/oscar.md §6.9). Raises ServiceError for a reference
    that is not the stored one at its place: it might name another service's secret.
    """
    stored = {_lasting(before, place): value for place, value in places(before) if referred(value) is not None}

    def conceal(place: Place, value: Any) -> Any:
        before_it = stored.get(_lasting(document, place))
        if value is None or (isinstance(value, str) and value in _KEPT):
            return value if before_it is None else before_it
        if referred(value) is None:
            return reference(refer(value if isinstance(value, str) else json.dumps(value)))
        if before_it != value:
            raise _forged(place)
        return value

    known = {place for place, _ in places(document)}
    for place in _references(document, ()):
        if place not in known:
            raise _forged(place)
    return _replaced(document, conceal)


def speaks_of_secrets(document: Mapping[str, Any]) -> bool:
    """Return whether a document holds secrets or references to some, be it where none belongs."""
    return any(True for _ in places(document)) or any(True for _ in _references(document, ()))


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document to be shown: as in OSCAR, secrets of the environment are empty and credentials `hidden`."""
    return _replaced(document, lambda place, _: "" if place[0] == "environment" else HIDDEN)


def _lasting(document: Mapping[str, Any], place: Place) -> Place:
    """Return the place by what it belongs to: members of a federation may be listed in another order."""
    if place[0] != "federation":
        return place
    member = document["federation"]["members"][place[2]]
    return (*place[:2], member.get("cluster_id") or "", member.get("url") or "", *place[3:])


def _references(value: Any, here: Place) -> Iterator[Place]:
    if referred(value) is not None:
        yield here
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _references(inner, (*here, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _references(inner, (*here, index))


def _forged(place: Place) -> ServiceError:
    return ServiceError(_path(place), "a reference to a secret", "write the secret itself, where a secret belongs")


def _path(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _replaced(document: Mapping[str, Any], replace: Callable[[Place, Any], Any]) -> dict[str, Any]:
    found = {place: replace(place, value) for place, value in places(document)}

    def copy(value: Any, here: Place) -> Any:
        if here in found:
            return found[here]
        if isinstance(value, Mapping):
            return {key: copy(inner, (*here, key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [copy(inner, (*here, index)) for index, inner in enumerate(value)]
        return value

    return {key: copy(value, (key,)) for key, value in document.items()}


class SecretStore:
    """The values, one file each, in a directory that nobody else may enter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, value: str) -> str:
        """Keep a value; durable on return. Return its id. Raises ConfigurationError if it cannot be written."""
        try:
            self._make_directory()
            identity = self._identity(value)
            if not (self._directory / identity).exists():
                self._write(identity, value.encode())
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep a secret in {self._directory}: {error.strerror}; make room or mend its permissions"
            ) from error
        return identity

    def hold(self) -> IO[str]:
        """Keep other processes from changing what is kept, until the file is closed; wait for them before.

        Whoever puts a value holds it until something refers to that: otherwise another one takes it for unneeded.
        Raises ConfigurationError if it cannot be written.
        """
        try:
            self._make_directory()
            path = self._directory / _LOCK_FILE
            file = open(path, "w", opener=partial(os.open, mode=0o600))  # noqa: SIM115 - the caller closes it
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep secrets in {self._directory}: {error.strerror}; make room or mend its permissions"
            ) from error
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def exists(self) -> bool:
        """Return whether anything was ever kept."""
        return self._directory.is_dir()

    def get(self, identity: str) -> str:
        """Return the value of an id. Raises SecretMissingError, SecretUnavailableError."""
        try:
            return (self._directory / os.path.basename(identity)).read_text()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SecretMissingError(
                f"the secret {identity} in {self._directory} cannot be read: {why}; "
                "apply the service again with its secrets, then send the run again"
            ) from error
        except OSError as error:
            raise SecretUnavailableError(f"{self._directory} cannot be read: {error.strerror}") from error

    def keep_only(self, identities: frozenset[str]) -> int:
        """Remove the values nothing refers to any more; return how many went."""
        if not self._directory.is_dir():
            return 0
        gone = [file for file in self._directory.iterdir() if file.name not in identities | {_KEY_FILE, _LOCK_FILE}]
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)

    def _make_directory(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(self._directory.parent)

    def _identity(self, value: str) -> str:
        digest = hmac.digest(self._key(), value.encode(), hashlib.sha256)
        return base64.b32encode(digest).decode("ascii").lower()[:_ID_CHARACTERS]

    def _key(self) -> bytes:
        """Return the key of this directory's ids; the first to need it makes one."""
        file = self._directory / _KEY_FILE
        if not file.exists():
            self._write(_KEY_FILE, secrets.token_bytes(_KEY_BYTES))
        return file.read_bytes()

    def _write(self, name: str, content: bytes) -> None:
        made = self._directory / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        made.rename(self._directory / name)
        _sync(self._directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
