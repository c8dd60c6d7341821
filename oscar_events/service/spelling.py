"""The spellings a service document may come in, made one: keys as OSCAR 4.1 writes them, at the place it has them.

In:  a mapping as somebody wrote it, and the model it is for. Out: a mapping for that model, what its author must be
told, and where each thing that moved was written. Pure; values are not looked at.
Not here: what values are right (the blocks), values in other spellings (they are the blocks' too).

Keys are case-insensitive, as they are to Go's decoder; not those that people choose (variables, labels, the ids of
providers and clusters), and not ours below `dispatch:`. Of two spellings of one key the later counts, as in Go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from oscar_events.mistakes import Loc, nearest

# Keys of OSCAR up to 4.0 at the top of a service, and where 4.1 has them (it ignores them where they were).
_MOVED = {
    "replicas": ("federation", "members"),
    "delegation": ("federation", "delegation"),
    "rescheduler_threshold": ("federation", "rescheduler_threshold"),
}
# Keys with another name today.
_RENAMED: dict[Loc, str] = {("expose", "port"): "api_port"}
# What OSCAR writes over whatever a client says; not unknown, and not for the model either.
_ANSWERED = frozenset({"token", "owner", "namespace", "bucket_list", "volume_status", "deployment"})
_PROVIDERS = "storage_providers"
# Most values are of these, and nothing is below them: a look at the type is cheaper than asking what they are not.
_PLAIN = frozenset({str, bool, int, float, type(None)})


@dataclass(frozen=True, slots=True)
class Told:
    """Something the author must be told. loc: where it was written."""

    loc: Loc
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A key that means nothing to anybody. meant: the known key it comes nearest to, None if there is none."""

    loc: Loc
    meant: str | None


@dataclass(frozen=True, slots=True)
class Respelled:
    """A document in the one spelling.

    told: each translation that changes what OSCAR 4.1 itself would make of the document.
    """

    document: dict[str, Any]
    told: tuple[Told, ...]
    _written: Mapping[Loc, Loc]

    def written_at(self, loc: Loc) -> Loc:
        """Return where the author wrote what is at this place of the document."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self._written:
                return (*self._written[loc[:end]], *loc[end:])
        return loc


def respelled(document: Mapping[str, Any], model: type[BaseModel]) -> Respelled:
    """Return the document for the model; keys the model does not know stay as they are."""
    writing = _Writing()
    moved = {key: value for key, value in document.items() if isinstance(key, str) and key.lower() in _MOVED}
    result = writing.block({key: value for key, value in document.items() if key not in moved}, model, (), ())
    for key, value in moved.items():
        if value:  # OSCAR 4.0 answered empty ones for services that had none
            _move(result, key, value, model, writing)
    return Respelled(result, tuple(writing.told), writing.written)


def unknown_keys(document: Mapping[str, Any], model: type[BaseModel], loc: Loc = ()) -> Iterator[Unknown]:
    """Yield every key of a document in the one spelling that the model has no field for.

    Not those of a block that refuses unknown keys itself, and not what OSCAR adds to its answers.
    """
    strict = model.model_config.get("extra") == "forbid"
    for key, value in document.items():
        if key in model.model_fields:
            inner = _inner(model, key)
            for at, item in _mappings(value, inner.many) if inner else ():
                yield from unknown_keys(item, inner.block, (*loc, key, *at)) if inner else ()
        elif not strict and (loc or str(key).lower() not in _ANSWERED):
            yield Unknown((*loc, key), nearest(str(key), model.model_fields))


def _move(document: dict[str, Any], key: str, value: Any, model: type[BaseModel], writing: _Writing) -> None:
    """Put a key of OSCAR 4.0 where 4.1 has it, unless something is there."""
    block, name = _MOVED[key.lower()]
    below = document.get(block)
    if isinstance(below, Mapping) and below.get(name):
        writing.told.append(Told((key,), f"not read: {block}.{name} is there too, as OSCAR 4.1 wants it"))
        return
    if below is not None and not isinstance(below, Mapping):
        return  # it is wrong, which the model says
    writing.told.append(Told((key,), f"read as {block}.{name}, its place since OSCAR 4.1, which ignores it here"))
    federation = _inner(model, block)
    inner = _inner(federation.block, name) if federation else None
    writing.written[block, name] = (key,)
    moved = writing.value(value, inner, (block, name), (key,))
    document[block] = {**(below or {}), name: moved}


@dataclass(slots=True)
class _Writing:
    """Collects, on the way through a document, where keys were written otherwise and what must be told."""

    told: list[Told] = field(default_factory=list)
    written: dict[Loc, Loc] = field(default_factory=dict)

    def block(self, document: Mapping[Any, Any], model: type[BaseModel], loc: Loc, written: Loc) -> dict[str, Any]:
        """Return the block with its keys, and those below, in the one spelling; loc, written: where it is and was."""
        names = _names(model)
        result: dict[str, Any] = {}
        for key, value in document.items():
            folded = key.lower() if isinstance(key, str) else key
            name = names.get(folded, key)
            if (*loc, folded) in _RENAMED:
                name = _RENAMED[*loc, folded]
                self.told.append(Told((*written, key), f"read as {name}, its name in OSCAR"))
            here, there = (*loc, name), (*written, key)
            if name in result:
                self.told.append(Told(there, f"{name} is written twice, in different letters; this one counts"))
            if here != there:
                self.written[here] = there
            result[name] = value if type(value) in _PLAIN else self.value(value, _inner(model, name), here, there)
        return result

    def value(self, value: Any, inner: _Inner | None, loc: Loc, written: Loc) -> Any:
        """Return what is below a key, likewise."""
        if loc == (_PROVIDERS,):
            return self._providers(value)
        if inner is None or inner.block.model_config.get("extra") == "forbid":
            return value
        if inner.many is _Many.NO:
            return self.block(value, inner.block, loc, written) if isinstance(value, Mapping) else value
        found = {
            at[0]: self.block(item, inner.block, (*loc, *at), (*written, *at))
            for at, item in _mappings(value, inner.many)
        }
        if isinstance(value, Mapping):
            return {**value, **found}
        return [found.get(at, item) for at, item in enumerate(value)] if found else value

    def _providers(self, value: Any) -> Any:
        """Return storage_providers with types and settings in lower case; the ids between them are people's own."""

        def settings(value: Any, loc: Loc, written: Loc) -> Any:
            if not isinstance(value, Mapping):
                return value
            return {
                identity: self._lowered(below, (*loc, identity), (*written, identity), lambda setting, *_: setting)
                for identity, below in value.items()
            }

        return self._lowered(value, (_PROVIDERS,), (_PROVIDERS,), settings)

    def _lowered(self, value: Any, loc: Loc, written: Loc, inner: Callable[[Any, Loc, Loc], Any]) -> Any:
        if not isinstance(value, Mapping):
            return value
        result: dict[Any, Any] = {}
        for key, below in value.items():
            low = key.lower() if isinstance(key, str) else key
            here, there = (*loc, low), (*written, key)
            if here != there:
                self.written[here] = there
            result[low] = inner(below, here, there)
        return result


class _Many(Enum):
    """How often a block stands below its key."""

    NO = "once"
    ITEMS = "in a list"
    VALUES = "by names people choose"


@dataclass(frozen=True, slots=True)
class _Inner:
    """The block below a key."""

    block: type[BaseModel]
    many: _Many


@cache
def _names(model: type[BaseModel]) -> Mapping[str, str]:
    return {name.lower(): name for name in model.model_fields}


@cache
def _inner(model: type[BaseModel], name: str) -> _Inner | None:
    """Return what block is below a key of the model; None if it is no key, or has a plain value."""
    if name not in model.model_fields:
        return None
    return _block_in(model.model_fields[name].annotation, _Many.NO)


def _block_in(annotation: Any, many: _Many) -> _Inner | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _Inner(annotation, many)
    many = {tuple: _Many.ITEMS, dict: _Many.VALUES}.get(get_origin(annotation), many)
    return next(filter(None, (_block_in(part, many) for part in get_args(annotation))), None)


def _mappings(value: Any, many: _Many) -> Iterator[tuple[Loc, Mapping[str, Any]]]:
    """Yield each block below a key, with its place below it."""
    if many is _Many.NO:
        found: Iterable[tuple[Loc, Any]] = [((), value)]
    elif many is _Many.VALUES:
        found = [((name,), item) for name, item in value.items()] if isinstance(value, Mapping) else []
    else:
        found = [((at,), item) for at, item in enumerate(value)] if isinstance(value, list | tuple) else []
    yield from ((at, item) for at, item in found if isinstance(item, Mapping))
