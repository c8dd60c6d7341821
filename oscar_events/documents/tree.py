"""A document as it was written: every key and value with its place in the text.

In:  nodes, made by scan.py. Out: the plain value, the node at a `Loc`, the line of either.
Not here: reading text (scan.py), changing it (edits.py).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from oscar_events.mistakes import Loc

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(slots=True)
class Scalar:
    """A value without parts. start, end: indexes of its characters; equal where nothing is written, as in `key:`.

    text: what it says, without quotes. value: what that means. style: `plain`, `quoted` or `block` (`|` and `>`).
    """

    start: int
    end: int
    text: str
    value: object
    style: str


@dataclass(slots=True)
class Entry:
    """A key of a mapping and its value."""

    key: Scalar
    value: Node


@dataclass(slots=True)
class Mapping:
    """Entries in the order of the file; each key once. flow: written `{a: b}`. end: after what belongs to it."""

    start: int
    end: int
    flow: bool
    entries: list[Entry] = field(default_factory=list)
    _by_key: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> Entry:
        """Add an entry; return the first one of its key, which is itself unless the key is there twice."""
        self.entries.append(entry)
        return self._by_key.setdefault(entry.key.text, entry)

    def entry(self, key: str | int) -> Entry | None:
        """Return the entry of a key: spelled so, else, as OSCAR reads JSON, in other capitals."""
        wanted = str(key)
        if wanted in self._by_key:
            return self._by_key[wanted]
        return next((entry for entry in self.entries if entry.key.text.casefold() == wanted.casefold()), None)


@dataclass(slots=True)
class Sequence:
    """Items in order. flow: written `[a, b]`. end: after what belongs to it."""

    start: int
    end: int
    flow: bool
    items: list[Node] = field(default_factory=list)


Node = Scalar | Mapping | Sequence


@dataclass(frozen=True)
class Document:
    """What a text says. name: how messages call the file. root: None where there is nothing but comments."""

    name: str
    text: str
    root: Node | None

    @property
    def value(self) -> object:
        """The document as JSON has it: a new tree of dict, list, str, int, float, bool and None at each call."""
        return plain(self.root)

    def node(self, loc: Loc) -> Node | None:
        """Return the value at a place, None if there is none."""
        node = self.root
        for part in loc:
            node = _child(node, part)
        return node

    def reach(self, loc: Loc) -> Loc:
        """Return the longest beginning of a place that the document has."""
        node = self.root
        for depth, part in enumerate(loc):
            node = _child(node, part)
            if node is None:
                return loc[:depth]
        return loc

    def entry(self, loc: Loc) -> Entry | None:
        """Return the key at a place and its value; None for items of lists and what is not there."""
        parent = self.node(loc[:-1]) if loc else None
        return parent.entry(loc[-1]) if isinstance(parent, Mapping) else None

    def index(self, loc: Loc) -> int:
        """Return where a place, or what is nearest to it, begins: its key if it has one."""
        loc = self.reach(loc)
        entry = self.entry(loc)
        node = self.node(loc)
        if entry is not None:
            return entry.key.start
        return node.start if node is not None else 0

    def line(self, loc: Loc) -> int:
        """Return the line of a place, or of what is nearest to it, from 1."""
        return self.line_of(self.index(loc))

    def line_of(self, index: int) -> int:
        """Return the line of a character, from 1."""
        return bisect_right(self._line_starts, index)

    @cached_property
    def _line_starts(self) -> list[int]:
        return line_starts(self.text)


def line_starts(text: str) -> list[int]:
    """Return the index at which each line begins."""
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


def plain(node: Node | None) -> object:
    """Return a node's value without places."""
    if isinstance(node, Mapping):
        return {entry.key.text: plain(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return None if node is None else node.value


def _child(node: Node | None, part: str | int) -> Node | None:
    if isinstance(node, Mapping):
        entry = node.entry(part)
        return None if entry is None else entry.value
    if isinstance(node, Sequence) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None
