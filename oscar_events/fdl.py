"""Service files: OSCAR's functions definition language (FDL) in YAML or JSON, read from disk.

In:  a file as users write it: `functions.oscar[]`, a list of `{cluster_id: service}`, or one flat service.
Out: the services in it, scripts inlined, top-level `storage_providers` and `clusters` copied in, with a warning per
ignored key; or a ServiceError whose report tells every mistake with the lines that mend it.
Not here: what a service's fields may hold (service/), reading YAML and telling mistakes (documents/); requests (they
name no files: `read_service`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oscar_events.documents import load_text, read_document
from oscar_events.documents.files import NoTextError, read_text, similar_file
from oscar_events.documents.tree import Document, Scalar
from oscar_events.documents.tree import Mapping as WrittenMapping
from oscar_events.errors import ServiceError
from oscar_events.mistakes import Change, Loc, Mistake, Rename, Write, mistakes_in, nearest, path_of, shown
from oscar_events.service import CONFIDENTIAL, Service, respelled, unknown_keys

# What every service of the file gets, unless it says something else about the same id.
_SHARED = ("storage_providers", "clusters")
_TOP_LEVEL = frozenset({"functions", *_SHARED})
# Where people name things themselves, and what they write is text: `DEBUG: True` is not `true`.
_TEXTS: tuple[Loc, ...] = (("environment", "variables"), ("environment", "secrets"), ("labels",), ("annotations",))
# Of a flat service: a file that is not there rather than a command of one word without a path.
_SCRIPT_NAME = re.compile(r"[\w.-]+\.sh")
_LISTED = "a list of `<cluster_id>: <service>`"


@dataclass(frozen=True, slots=True)
class LoadedService:
    """A service and what to tell its author. where: its place, like `blur.yaml: functions.oscar[0].laptop`."""

    service: Service
    warnings: tuple[str, ...]
    where: str


def load_service_file(path: Path) -> list[LoadedService]:
    """Return the services of a file, at least one. Raises ServiceError naming file, line and field."""
    return parse_service_file(load_text(path, ServiceError), path.parent, path.name)


def parse_service_file(text: str, base_dir: Path, name: str) -> list[LoadedService]:
    """Return the services of a file's text, at least one.

    base_dir: what relative script paths are relative to. name: how errors and warnings call the file.
    In the flat form `script` is the commands themselves, unless it names an existing file, or is a name like blur.sh.
    Warnings about the file as a whole come with its first service. Raises ServiceError.
    """

    file: _File | None = None

    def check(document: Document) -> list[Mistake]:
        nonlocal file
        file = _File(document, base_dir)
        return file.mistakes

    read_document(text, name, check, CONFIDENTIAL, ServiceError)
    assert file is not None  # what was checked is what is loaded: a script may change meanwhile
    return file.services


def read_service(document: Mapping[str, Any], prefix: str = "") -> LoadedService:
    """Return the service of one flat document whose script is text. Touches no file. Raises ServiceError.

    prefix: written before the field's path in errors and warnings, like `functions.oscar[0].laptop.`
    """
    service = Service.from_document(document, prefix)
    warnings = tuple(f"{prefix}{path_of(loc)}: {text}" for loc, text in _remarks(document))
    return LoadedService(service, warnings, prefix.rstrip(".: "))


def _remarks(document: Mapping[str, Any]) -> list[tuple[Loc, str]]:
    """Return what is read otherwise than it is written, and what is not read at all, with its place."""
    spelled = respelled(document, Service)
    unknown = unknown_keys(spelled.document, Service)
    return [
        *((one.loc, one.text) for one in spelled.told),
        *((spelled.written_at(one.loc), _ignored(one.meant)) for one in unknown),
    ]


def _ignored(meant: str | None) -> str:
    return "not known here, ignored" + (f"; did you mean {meant}?" if meant else "")


class _File:
    """Reads all services of a document; services is whole only where there are no mistakes."""

    def __init__(self, document: Document, base_dir: Path) -> None:
        self.services: list[LoadedService] = []
        self.mistakes: list[Mistake] = []
        self._named: dict[str, Loc] = {}
        self._told_of: set[tuple[Loc, str, str]] = set()
        self._document, self._base_dir = document, base_dir
        self._read(document.value)

    def _read(self, root: object) -> None:
        if not isinstance(root, dict):
            self._wrong((), *_no_mapping_at_top(root))
        elif "functions" in root:
            shared = {key: self._by_kind(root.get(key), (key,)) for key in _SHARED}
            for loc, written in self._entries(root["functions"]):
                self._service(loc, self._inlined(self._with_shared(written, shared, loc), loc), written)
            self._warn_of_top(root)
        elif misspelt := nearest("functions", [key for key in root if key not in Service.model_fields]):
            self._wrong((misspelt,), f"the key {misspelt}", "the key functions", Rename("functions"))
        elif [*root] == ["oscar"]:
            self._wrong((), "oscar at the top", "oscar below the key functions", Write({"functions": root}))
        else:
            self._service((), self._inlined_if_file(root), root)

    def _wrong(self, loc: Loc, found: str, expected: str, change: Change | None = None) -> None:
        if (loc, found, expected) not in self._told_of:  # what services share is wrong in each
            self._told_of.add((loc, found, expected))
            self.mistakes.append(Mistake(loc, found, expected, change))

    def _warn_of_top(self, root: Mapping[str, Any]) -> None:
        if self.services:
            told = [self._told((key,), _ignored(nearest(key, _TOP_LEVEL))) for key in root if key not in _TOP_LEVEL]
            self.services[0] = replace(self.services[0], warnings=(*told, *self.services[0].warnings))

    def _told(self, loc: Loc, text: str) -> str:
        return f"{self._document.name}, line {self._document.line(loc)}: {path_of(loc)}: {text}"

    def _entries(self, functions: object) -> list[tuple[Loc, dict[str, Any]]]:
        """Return every service of `functions.oscar[]` with its place; the map's key is a cluster id."""
        loc: Loc = ("functions",)
        if not isinstance(functions, dict):
            change = Write({"oscar": functions}) if isinstance(functions, list) else None
            self._wrong(loc, shown(functions), f"the key oscar, and below it {_LISTED}", change)
            return []
        if "oscar" not in functions:
            misspelt = nearest("oscar", functions)
            place: Loc = (*loc, misspelt) if misspelt else loc
            self._wrong(place, "no key oscar", f"the key oscar with {_LISTED}", Rename("oscar") if misspelt else None)
            return []
        loc, listed = (*loc, "oscar"), functions["oscar"]
        if isinstance(listed, dict) and listed:
            self._wrong(loc, "a mapping", _LISTED, Write([{key: value} for key, value in listed.items()]))
        elif not isinstance(listed, list) or not listed:
            self._wrong(loc, shown(listed) if listed != [] else "an empty list", _LISTED)
        else:
            return [found for index, entry in enumerate(listed) for found in self._entry(entry, (*loc, index), listed)]
        return []

    def _entry(self, entry: object, loc: Loc, listed: list[Any]) -> list[tuple[Loc, dict[str, Any]]]:
        expected = "one `<cluster_id>:` with the service indented below it"
        if not isinstance(entry, dict) or not entry:
            self._wrong(loc, shown(entry), expected)
            return []
        cluster_id, service = next(iter(entry.items()))
        if len(entry) == 1 and isinstance(service, dict):
            return [((*loc, cluster_id), service)]
        if len(entry) == 1:
            self._wrong((*loc, cluster_id), shown(service), "a service: a mapping with name, image and script")
        elif service is None:
            below = {key: value for key, value in entry.items() if key != cluster_id}
            self._wrong(loc, f"{len(entry)} keys, and nothing below {cluster_id}", expected, Write({cluster_id: below}))
        elif all(isinstance(one, dict) for one in entry.values()):
            split = [{key: part} for one in listed if isinstance(one, dict) for key, part in one.items()]
            found = f"{len(entry)} clusters in one entry: {', '.join(entry)}"
            self._wrong(loc[:-1], found, "an entry of its own for each, with a dash", Write(split))
        else:
            self._wrong(loc, f"{len(entry)} keys: {', '.join(entry)}", expected, Write({"local": entry}))
        return []

    def _by_kind(self, written: object, loc: Loc) -> dict[str, Any]:
        """Return a mapping that may be missing, like `storage_providers`."""
        if isinstance(written, dict):
            return written
        if written is not None:
            self._wrong(loc, shown(written, hidden=True), "a mapping of keys to values")
        return {}

    def _with_shared(
        self, service: Mapping[str, Any], shared: Mapping[str, dict[str, Any]], loc: Loc
    ) -> dict[str, Any]:
        """Copy what the file has for all into the service, and the cluster it stands below."""
        spelled = {key.lower(): key for key in service}
        merged = dict(service)
        merged.setdefault(spelled.get("cluster_id", "cluster_id"), loc[-1])
        for key, common in shared.items():
            name = spelled.get(key, key)
            own = service.get(name) or {}
            if common and isinstance(own, dict):
                merged[name] = _merged(common, own, depth=2 if key == "storage_providers" else 1)
        return merged

    def _service(self, loc: Loc, document: dict[str, Any], written: Mapping[str, Any]) -> None:
        """Validate one service, script inlined; written: as it is in the file, without what it shares."""
        spelled = respelled(document, Service)
        self._keep_texts(spelled.document, loc)
        try:
            service = Service.model_validate(spelled.document)
        except ValidationError as error:
            for mistake in mistakes_in(error, Service, CONFIDENTIAL):
                place = self._place(loc, spelled.written_at(mistake.loc))
                self._wrong(
                    place, mistake.found, mistake.expected, self._suggested(mistake, document) or mistake.change
                )
            return
        first = self._named.setdefault(service.name, loc)
        if first != loc:
            found = f"{service.name}, which is also the name of {path_of(first)}"
            self._wrong((*loc, "name"), found, "a name of its own", Write(_another(service.name)))
        where = f"{self._document.name}: {path_of(loc)}".rstrip(": ")
        warnings = tuple(self._told((*loc, *place), text) for place, text in _remarks(written))
        self.services.append(LoadedService(service, warnings, where))

    def _place(self, loc: Loc, inner: Loc) -> Loc:
        """Return where in the file something of a service is: in it, or in what it shares with the others."""
        is_shared = inner and inner[0] in _SHARED and self._document.reach((*loc, *inner)) != (*loc, *inner)
        return inner if is_shared and self._document.reach(inner) == inner else (*loc, *inner)

    def _keep_texts(self, document: dict[str, Any], loc: Loc) -> None:
        for place in _TEXTS:
            node = self._document.node((*loc, *place))
            below: Any = document
            for key in place:
                below = below.get(key) if isinstance(below, dict) else None
            if isinstance(node, WrittenMapping) and isinstance(below, dict):
                for entry in node.entries:
                    if isinstance(entry.value, Scalar) and isinstance(entry.value.value, bool):
                        below[entry.key.text] = entry.value.text

    def _suggested(self, mistake: Mistake, document: Mapping[str, Any]) -> Change | None:
        """Return what to write for a required key that is missing, as far as the file and its folder tell."""
        key = mistake.loc[-1] if mistake.loc else None
        if mistake.found != f"no {key}":
            return None
        name = _as_name(Path(self._document.name).stem)
        if key == "name":
            return Write(name)
        if key == "script":
            scripts = sorted(path.name for path in self._base_dir.glob("*.sh"))
            return Write(nearest(f"{document.get('name')}.sh", scripts) or scripts[0]) if scripts else None
        if key == "path":
            return Write(f"{document.get('name', name)}/{'in' if mistake.loc[0] == 'input' else 'out'}")
        return None

    def _inlined(self, service: dict[str, Any], loc: Loc) -> dict[str, Any]:
        name = next((key for key in service if key.lower() == "script"), "script")
        script = service.get(name)
        if not isinstance(script, str):
            return service  # missing or of another type: the model says so
        place = (*loc, name)
        if "\n" in script:
            self._wrong(place, "commands", "the name of a file, beside this one, that holds them")
            return {**service, name: "true"}
        try:
            return {**service, name: read_text(self._base_dir / script)}
        except NoTextError as error:
            similar = similar_file(self._base_dir / script)
            folder = os.path.dirname(script)
            change = Write(os.path.join(folder, similar)) if similar and "is not" in error.found else None
            self._wrong(place, error.found, error.expected, change)
            return {**service, name: "true"}  # so that the rest is checked

    def _inlined_if_file(self, service: dict[str, Any]) -> dict[str, Any]:
        script = next((value for key, value in service.items() if key.lower() == "script"), None)
        # os.path, not pathlib: commands are no file name, and too long a name must not raise.
        names_file = isinstance(script, str) and (
            os.path.isfile(self._base_dir / script) or _SCRIPT_NAME.fullmatch(script)
        )
        return self._inlined(service, ()) if names_file else service


def _no_mapping_at_top(root: object) -> tuple[str, str, Change | None]:
    expected = "a service (name, image, script), or services below `functions.oscar`"
    if root is None:
        return "an empty file", expected, None
    if not isinstance(root, list):
        return shown(root), expected, None
    entries = [one for one in root if isinstance(one, dict)]
    if len(root) == 1 and entries and "name" in entries[0]:
        return "a list", expected, Write({"functions": {"oscar": [{"local": entries[0]}]}})
    return "a list", expected, Write({"functions": {"oscar": root}})


def _merged(common: Mapping[str, Any], own: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return both, key by key to a depth; there, and where either is no mapping, the own one wins."""
    merged = dict(common)
    for key, value in own.items():
        theirs = merged.get(key)
        both = depth > 1 and isinstance(value, dict) and isinstance(theirs, dict)
        merged[key] = _merged(theirs, value, depth - 1) if both and isinstance(theirs, dict) else value
    return merged


def _another(name: str) -> str:
    return f"{name[:37]}-2" if not name.endswith("-2") else f"{name[:-2]}-3"


def _as_name(text: str) -> str:
    """Return a service name that looks like a file's."""
    letters = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (letters if letters[:1].isalpha() else f"service-{letters}")[:39].strip("-")
