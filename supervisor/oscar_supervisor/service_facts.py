"""What one run needs to know of its service, wherever that was written down.

In:  a flat service document as OSCAR stores it (`function_config.yaml`), already read from its YAML.
Out: `ServiceFacts`. Not here: files and variables (oscar_files.py), our own service files (service_file.py), whether a
provider can be used (credentials.py).

Read without the service models: those cost as much to import as everything else of a run together. So only what a run
uses is looked at, and what OSCAR's supervisor ignores is ignored; but a list that is no list is an error, where OSCAR
goes on without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oscar_events.errors import ConfigurationError
from oscar_events.job import Output


@dataclass(frozen=True, slots=True)
class Place:
    """Where inputs come from. provider: `<type>.<id>`."""

    provider: str
    bucket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """A service as one run sees it.

    script: as the file holds it; None if nobody gave one. storage: settings by provider id, as written.
    own_buckets: buckets of single users (OSCAR's isolation level USER): an event from one of them has its results put
    into the same one. stage_in: False = the script fetches its input itself (`file_stage_in: true` in OSCAR's words).
    timeout_s: for the script; OSCAR's own files know none.
    """

    name: str
    script: str | None
    inputs: tuple[Place, ...] = ()
    outputs: tuple[Output, ...] = ()
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    own_buckets: frozenset[str] = frozenset()
    stage_in: bool = True
    timeout_s: float = math.inf
    log_level: str = "INFO"
    execution_mode: str = ""


def facts_of(document: Mapping[str, Any], where: str, name: str, script: str | None) -> ServiceFacts:
    """Return the facts of a stored service. Raises ConfigurationError naming the key.

    where: how errors call the document. name: if it holds none of its own.
    """
    places = [_place(entry, f"{where}: input[{i}]") for i, entry in enumerate(_entries(document, "input", where))]
    outputs = [_output(entry, f"{where}: output[{i}]") for i, entry in enumerate(_entries(document, "output", where))]
    own = document.get("isolation_level") == "USER"
    return ServiceFacts(
        name=_text(document, "name", where) or name,
        script=script,
        inputs=tuple(places),
        outputs=tuple(outputs),
        storage=_storage(_mapping(document, "storage_providers", where), f"{where}: storage_providers"),
        variables=_variables(document, where),
        own_buckets=frozenset(_texts(document, "bucket_list", where)) if own else frozenset(),
        stage_in=document.get("file_stage_in") is not True,
        log_level=_text(document, "log_level", where) or "INFO",
        execution_mode=_text(document, "execution_mode", where),
    )


def canonical_provider(written: str) -> str:
    """Return `<type>.<id>` of what a service file may say: the type in any case, the id left out = `default`."""
    kind, _, identity = written.strip().partition(".")
    return f"{kind.lower()}.{identity or 'default'}"


def _place(entry: Mapping[str, Any], where: str) -> Place:
    provider, path = _provider_and_path(entry, where)
    return Place(provider, path.partition("/")[0])


def _output(entry: Mapping[str, Any], where: str) -> Output:
    provider, path = _provider_and_path(entry, where)
    bucket, _, folder = path.partition("/")
    return Output(
        provider=provider,
        bucket=bucket,
        folder=folder,
        prefix=_texts(entry, "prefix", where),
        suffix=_texts(entry, "suffix", where),
    )


def _provider_and_path(entry: Mapping[str, Any], where: str) -> tuple[str, str]:
    provider = _text(entry, "storage_provider", where)
    path = _text(entry, "path", where).strip(" /")
    if not provider:
        raise ConfigurationError(f"{where}: has no storage_provider; write one like minio.default")
    if not path:
        raise ConfigurationError(f"{where}: has no path; write <bucket>/<folder>, like pics/in")
    return canonical_provider(provider), path


def _storage(written: Mapping[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
    return {
        f"{kind.lower()}.{identity}": _mapping(identities, identity, f"{where}.{kind}")
        for kind in written
        for identities in [_mapping(written, kind, where)]
        for identity in identities
    }


def _variables(document: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the service's variables; the values of its secrets are not in OSCAR's file but in the environment."""
    environment = _mapping(document, "environment", where)
    written = {
        **_mapping(environment, "Variables", f"{where}: environment"),  # OSCAR 3.3 and before
        **_mapping(environment, "variables", f"{where}: environment"),
    }
    return {name: as_text(value) for name, value in written.items()}


def as_text(value: object) -> str:
    """Return a scalar as a shell script or a storage's settings expect it: YAML made `true` and numbers of text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entries(document: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ConfigurationError(f"{where}: {key} is no list of places; write a list of storage_provider and path")
    return value


def _mapping(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"{where}: {key} is no mapping of names to values")
    return value


def _text(document: Mapping[str, Any], key: str, where: str) -> str:
    value = document.get(key)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        raise ConfigurationError(f"{where}: {key} is a {type(value).__name__}; write one text")
    return as_text(value)


def _texts(document: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return a list of texts, or one text as a list of one: OSCAR's supervisor takes it for a list of letters."""
    value = document.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or any(isinstance(text, dict | list) for text in value):
        raise ConfigurationError(f"{where}: {key} is no list of texts")
    return tuple(as_text(text) for text in value)
