"""What one input asks of an object, condition by condition.

In:  an input of a service, with the filters of its `dispatch:`. Out: whether an object meets it; if not, the first
condition that it fails, in words.
Not here: finding the inputs that come into question (index.py), whose input it is.

The conditions, in this order: provider and bucket are equal; the key is below the folder; what happened is wanted; the
rest of the key has one of the input's prefixes and one of its suffixes, then those of the filters; it meets one of the
globs; the size is within bounds, and is known at all. OSCAR itself knows the first two only. Keys are bytes and
compared as they are: what people wrote is encoded as UTF-8, and nothing is normalised, decoded or folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from oscar_events.event import Action
from oscar_events.matching.globs import Glob
from oscar_events.service import Dispatch, StorageIO

Aliases = Mapping[str, str]


def canonical_provider(provider: str, aliases: Aliases) -> str:
    """Return the provider an alias stands for, one step: on a laptop `minio.default` may be `local.default`."""
    return aliases.get(provider, provider)


def below_folder(key: bytes, folder: bytes) -> bytes | None:
    """Return the key relative to the folder, or None if it is not below it; the folder's own marker object is not."""
    inside = folder + b"/" if folder else b""
    return key[len(inside) :] if key.startswith(inside) and len(key) > len(inside) else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an input asks of a key below its bucket, and of what happened to the object there.

    prefixes, suffixes: alternatives to each other; one of every group must hold.
    """

    folder: bytes
    events: frozenset[Action]
    prefixes: tuple[tuple[bytes, ...], ...] = ()
    suffixes: tuple[tuple[bytes, ...], ...] = ()
    globs: tuple[Glob, ...] = ()
    least: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, place: StorageIO, dispatch: Dispatch) -> Wanted:
        """Return what an input of a service with these settings asks for."""
        filters = dispatch.filters
        return cls(
            place.folder.encode(),
            _actions(dispatch.event_types),
            tuple(_encoded(group) for group in (place.prefix, filters.prefix) if group),
            tuple(_encoded(group) for group in (place.suffix, filters.suffix) if group),
            tuple(Glob.of(text) for text in filters.glob),
            filters.size.min,
            filters.size.max,
        )

    def is_met(self, key: bytes, action: Action, size: int | None) -> bool:
        """Tell whether an object below the input's bucket starts a run."""
        rest = below_folder(key, self.folder)
        if rest is None or action not in self.events:
            return False
        for prefixes in self.prefixes:
            if not rest.startswith(prefixes):
                return False
        for suffixes in self.suffixes:
            if not rest.endswith(suffixes):
                return False
        if self.globs and not any(glob.meets(rest) for glob in self.globs):
            return False
        if self.least is None and self.most is None:
            return True
        return size is not None and (self.least or 0) <= size and (self.most is None or size <= self.most)

    def first_unmet(self, key: bytes, action: Action, size: int | None) -> str:
        """Return the first condition that an object below the input's bucket fails, in words; "" if it meets all."""
        rest = below_folder(key, self.folder)
        if rest is None:
            return f"the key {shown(key)} is not below folder {shown(self.folder + b'/')}"
        if action not in self.events:
            wanted = ", ".join(kind for kind in Action if kind in self.events)
            return f"event type {action} is not among those wanted: {wanted}"
        for prefixes in self.prefixes:
            if not rest.startswith(prefixes):
                return f"prefix {_or(prefixes)} is wanted, the key below the folder is {shown(rest)}"
        for suffixes in self.suffixes:
            if not rest.endswith(suffixes):
                return f"suffix {_or(suffixes)} is wanted, the key below the folder is {shown(rest)}"
        if self.globs and not any(glob.meets(rest) for glob in self.globs):
            patterns = _or(glob.text.encode() for glob in self.globs)
            return f"a key like {patterns} is wanted, below the folder it is {shown(rest)}"
        return self._unmet_size(size)

    def _unmet_size(self, size: int | None) -> str:
        if self.least is None and self.most is None:
            return ""
        if size is None:
            return "a size within bounds is wanted, and the event does not tell the size"
        if size < (self.least or 0):
            return f"a size of at least {self.least} bytes is wanted, it is {size}"
        if self.most is not None and size > self.most:
            return f"a size of at most {self.most} bytes is wanted, it is {size}"
        return ""


def shown(key: bytes) -> str:
    """Return a key as people read it."""
    return repr(key.decode("utf-8", "backslashreplace"))


@cache
def _actions(event_types: tuple[str, ...]) -> frozenset[Action]:
    """Return the actions of these names: few sets, and each of thousands of services has one."""
    return frozenset(Action(kind) for kind in event_types)


def _or(texts: Iterable[bytes]) -> str:
    return " or ".join(shown(text) for text in texts)


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)
