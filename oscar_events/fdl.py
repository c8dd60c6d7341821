"""Service files: OSCAR's functions definition language (FDL) in YAML or JSON, read from disk.

In:  a file as users write it: `functions.oscar[]`, a list of `{cluster_id: service}`, or one flat service.
Out: the services in it, scripts inlined, top-level `storage_providers` copied in, with a warning per ignored key.
Not here: what a service's fields may hold (service.py); requests (they name no files: `read_service`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from oscar_events.errors import ServiceError
from oscar_events.service import Service, unknown_keys

# Service files and scripts. The job document, script included, travels in an annotation, and Kubernetes allows all
# annotations of an object together this much.
MAX_BYTES = 256 * 1024

# The deepest collection, `functions.oscar[].<cluster>.storage_providers.<type>.<id>`, is the 8th; the rest is room.
_MAX_DEPTH = 32

_TOP_LEVEL = frozenset({"functions", "storage_providers"})


@dataclass(frozen=True, slots=True)
class LoadedService:
    """A service and what to tell its author. where: its place, like `blur.yaml: functions.oscar[0].laptop`."""

    service: Service
    warnings: tuple[str, ...]
    where: str


def load_service_file(path: Path) -> list[LoadedService]:
    """Return the services of a file, at least one. Raises ServiceError naming file and field."""
    return parse_service_file(_read_text(path, str(path)), path.parent, path.name)


def parse_service_file(text: str, base_dir: Path, name: str) -> list[LoadedService]:
    """Return the services of a file's text, at least one.

    base_dir: what relative script paths are relative to. name: how errors and warnings call the file.
    In the flat form `script` is the commands themselves, unless it names an existing file.
    Warnings about the file as a whole come with its first service. Raises ServiceError.
    """
    document = _mapping(_read_yaml(text, name), name)
    if "functions" not in document:
        return [read_service(_inlined_if_file(document, base_dir, f"{name}: "), f"{name}: ")]
    shared = _providers(document, f"{name}: ")
    loaded: list[LoadedService] = []
    for prefix, written in _entries(document["functions"], f"{name}: functions"):
        service = read_service(_inlined(_with_providers(written, shared, prefix), base_dir, prefix), prefix)
        _refuse_same_name(service, loaded)
        loaded.append(service)
    ignored = [_ignored(f"{name}: {key}") for key in document if key not in _TOP_LEVEL]
    return [replace(loaded[0], warnings=(*ignored, *loaded[0].warnings)), *loaded[1:]]


def read_service(document: Mapping[str, Any], prefix: str = "") -> LoadedService:
    """Return the service of one flat document whose script is text. Touches no file. Raises ServiceError.

    prefix: written before the field's path in errors and warnings, like `blur.yaml: functions.oscar[0].laptop.`
    """
    service = Service.from_document(document, prefix)
    warnings = tuple(_ignored(key) for key in unknown_keys(service, document, prefix))
    return LoadedService(service, warnings, prefix.rstrip(".: "))


def _ignored(key: str) -> str:
    return f"{key}: not known here, ignored"


def _entries(functions: object, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return every service of `functions.oscar[]` behind the prefix of its fields; the map's key is a cluster id."""
    listed = _mapping(functions, where).get("oscar")
    where = f"{where}.oscar"
    if not isinstance(listed, list) or not listed:
        raise ServiceError(where, "is no list of services", "write a list of `<cluster_id>: <service>` maps")
    entries = []
    for index, entry in enumerate(listed):
        place = f"{where}[{index}]"
        clusters = _mapping(entry, place)
        if len(clusters) != 1:
            fix = "write one `<cluster_id>:` and indent the service's keys below it"
            raise ServiceError(place, f"has {len(clusters)} keys", fix)
        [(cluster_id, service)] = clusters.items()
        entries.append((f"{place}.{cluster_id}.", _mapping(service, f"{place}.{cluster_id}")))
    return entries


def _providers(document: Mapping[str, Any], prefix: str) -> dict[str, Mapping[str, Any]]:
    where = f"{prefix}storage_providers"
    written = _mapping(document.get("storage_providers"), where)
    return {kind: _mapping(ids, f"{where}.{kind}") for kind, ids in written.items()}


def _with_providers(service: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], prefix: str) -> dict[str, Any]:
    """Copy the file's providers into the service; what the service says itself about an id wins."""
    own = _providers(service, prefix)
    merged = {kind: {**shared.get(kind, {}), **own.get(kind, {})} for kind in {**shared, **own}}
    return {**service, "storage_providers": merged}


def _refuse_same_name(loaded: LoadedService, earlier: Iterable[LoadedService]) -> None:
    name = loaded.service.name
    for other in earlier:
        if other.service.name == name:
            what = f"{name!r} is also at {other.where}"
            raise ServiceError(f"{loaded.where}.name", what, "give each service its own name")


def _inlined(service: Mapping[str, Any], base_dir: Path, prefix: str) -> dict[str, Any]:
    script = service.get("script")
    if not isinstance(script, str):
        return dict(service)  # missing or of another type: the model says so
    return {**service, "script": _read_text(base_dir / script, f"{prefix}script")}


def _inlined_if_file(service: Mapping[str, Any], base_dir: Path, prefix: str) -> dict[str, Any]:
    script = service.get("script")
    # os.path, not pathlib: commands are no file name, and too long a name must not raise.
    names_file = isinstance(script, str) and os.path.isfile(base_dir / script)
    return _inlined(service, base_dir, prefix) if names_file else dict(service)


def _read_text(path: Path, where: str) -> str:
    try:
        if not os.path.isfile(path):  # not a pipe or device either: reading those may never end
            raise ServiceError(
                where, f"{str(path)!r} is no file", "name an existing file, relative to the service file"
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ServiceError(where, f"{str(path)!r} cannot be read: {error.strerror}", "make it readable") from error
    if len(data) > MAX_BYTES:
        raise ServiceError(where, f"{path.name!r} is larger than {MAX_BYTES} bytes", "keep what is large in the image")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ServiceError(where, f"{path.name!r} is not UTF-8 at byte {error.start}", "save it as UTF-8") from error


def _read_yaml(text: str, name: str) -> object:
    if len(text) > MAX_BYTES:
        raise ServiceError(name, f"is larger than {MAX_BYTES} characters", "split it into several files")
    try:
        _refuse_bombs(text, name)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = _line(name, error.problem_mark or error.context_mark)
        raise ServiceError(where, f"is no plain YAML: {error.problem}", "correct this line or the one above") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter two: a date like 2024-13-01
        what = f"is no plain YAML: {str(error).splitlines()[0]}"
        raise ServiceError(name, what, "correct it, with quotes around what is meant as text") from error


def _refuse_bombs(text: str, name: str) -> None:
    """Raise ServiceError, before anything is built, for what makes gigabytes or deep recursion of a small file."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            fix = "write the value out where it is needed"
            raise ServiceError(_line(name, event.start_mark), "has an anchor, alias or tag", fix)
        if depth > _MAX_DEPTH:
            fix = f"write at most {_MAX_DEPTH} levels"
            raise ServiceError(_line(name, event.start_mark), "is nested too deeply", fix)


def _line(name: str, mark: Any) -> str:
    return name if mark is None else f"{name}, line {mark.line + 1}"


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    """Return value as a mapping, nothing as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ServiceError(where, "is no mapping", "write a mapping of keys to values")
    return value
