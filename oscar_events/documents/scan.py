"""Reads YAML, or JSON, into a tree with places, and refuses what must not be built.

In:  text. Out: a `Scan`: the tree, and what is wrong with the text itself, in its order.
Not here: what plain scalars mean (scalars.py), what parser errors mean and how they are mended (syntax.py).

The YAML library only tells events here; nothing is built by it. So aliases cannot multiply, tags construct nothing, and
size, depth and number of values are bounded before there is a tree.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import yaml

from oscar_events.documents.edits import Edit, Edits, removal
from oscar_events.documents.scalars import has_bytes, paired, quoted, resolve, written
from oscar_events.documents.syntax import Flaw, flaw_of, stopped_at
from oscar_events.documents.tree import Entry, Mapping, Node, Scalar, Sequence, line_starts, plain
from oscar_events.mistakes import Loc

# Service files and scripts. The job document, script included, travels in an annotation, and Kubernetes allows all
# annotations of an object together this much.
MAX_BYTES = 256 * 1024

# The deepest collection, `functions.oscar[].<cluster>.storage_providers.<type>.<id>`, is the 8th; the rest is room.
MAX_DEPTH = 32

# A service with every field set has about 150; more than 100 such services in a file would take seconds to read.
MAX_VALUES = 20_000

_MAX_SHOWN_ALIASES = 8  # more, written out, are no fix that anybody reads, and may be as much text as a bomb
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*)+")
_INDENTATION = re.compile(r"^[ \t]+", re.MULTILINE)
_MERGE = re.compile(r"<<:[ \t]*\Z")
_TO_LINE_END = re.compile(r"[^\r\n#]*[^\s#]")
_DOCUMENT_MARK = re.compile(r"---[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a text holds.

    text: it itself.
    stopped_at: the character at which reading stopped, None if it went to the end. The tree is not whole then, and the
    flaw behind it is the last one.
    """

    text: str
    root: Node | None
    flaws: list[Flaw]
    stopped_at: int | None = None

    @property
    def broken(self) -> bool:
        """Whether the text could not be read to its end."""
        return self.stopped_at is not None


def scan(text: str) -> Scan:
    """Return the tree of a text with every flaw. Raises nothing, whatever the text."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        flaw = Flaw(0, (), f"more than {MAX_BYTES} bytes", "a smaller file: several, or what is large in the image")
        return Scan(text, None, [flaw], 0)
    builder = _Builder(text)
    try:
        for event in yaml.parse(_without_tabs_of_json(text), Loader=yaml.SafeLoader):
            builder.take(event)
    except _Stop as stop:
        return Scan(text, builder.root, [*builder.flaws, stop.flaw], stop.flaw.index)
    except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:  # the latter ones: odd escapes, directives
        flaw = flaw_of(text, error, builder.place(), builder.opening())
        return Scan(text, builder.root, [*builder.flaws, flaw], stopped_at(error))
    builder.finish()
    return Scan(text, builder.root, builder.flaws)


def _without_tabs_of_json(text: str) -> str:
    """JSON may be indented with tabs, which the library refuses. They become spaces, so that no place moves.

    Inside JSON's strings there are no tabs; of a text that is not quite JSON only the indentation is touched.
    """
    if "\t" not in text or text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return _INDENTATION.sub(lambda match: match.group().replace("\t", " "), text)
    return text.replace("\t", " ")


class _Stop(Exception):
    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


@dataclass(slots=True)
class _Open:
    """A collection that has not ended. key: of a mapping, while its value is awaited."""

    node: Mapping | Sequence
    loc: Loc
    key: Scalar | None = None

    def place(self) -> Loc:
        """Return where the next node stands."""
        if isinstance(self.node, Sequence):
            return (*self.loc, len(self.node.items))
        return self.loc if self.key is None else (*self.loc, self.key.text)


@dataclass(slots=True)
class _Anchor:
    """start, end: the characters that go when it is written out."""

    node: Node
    loc: Loc
    start: int
    end: int


class _Builder:
    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.flaws: list[Flaw] = []
        self._text = text
        self._open: list[_Open] = []
        self._documents = 0
        self._values = 0
        self._anchors: dict[str, _Anchor] = {}
        self._aliases: list[tuple[str, Scalar, Loc]] = []
        self._twice: list[tuple[Mapping, int, Loc, Scalar]] = []

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                start = _index(event.start_mark)
                mark = _DOCUMENT_MARK.match(self._text, start)
                repairs = ((Edit(start, mark.end(), ""),),) if mark else ()
                raise _Stop(Flaw(start, (), "a second document", "one document in a file", repairs))
        elif isinstance(event, yaml.AliasEvent):
            start, end = _index(event.start_mark), _index(event.end_mark)
            alias = Scalar(start, end, self._text[start:end], None, "plain")
            self._aliases.append((event.anchor or "", alias, self.place()))
            self._attach(alias)
        elif isinstance(event, yaml.ScalarEvent):
            self._attach(self._scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self._open.pop().node
            node.end = _index(event.end_mark) if node.flow else _end_of_parts(node)

    def finish(self) -> None:
        """Tell of what needs the whole tree: anchors with their aliases, keys that are there twice."""
        starts = line_starts(self._text)
        used: defaultdict[str, list[Scalar]] = defaultdict(list)
        for name, alias, _ in self._aliases:
            used[name].append(alias)
        for name, anchor in self._anchors.items():
            uses = used[name]
            repairs: tuple[Edits, ...] = ()
            if len(uses) <= _MAX_SHOWN_ALIASES:
                repairs = ((Edit(anchor.start, anchor.end, ""), *(self._copied(alias, anchor.node) for alias in uses)),)
            found = f"the anchor &{name}" + (f", used in line {_lines(starts, uses)}" if uses else "")
            self.flaws.append(Flaw(anchor.start, anchor.loc, found, "the value itself wherever it is needed", repairs))
        for name, alias, loc in self._aliases:
            if name not in self._anchors:
                repair = (Edit(alias.start, alias.end, quoted(alias.text)),)
                expected = "the value itself, in quotes if it begins with *"
                self.flaws.append(Flaw(alias.start, loc, f"*{name}, an alias of nothing", expected, (repair,)))
        for mapping, position, loc, first in self._twice:
            line = bisect_right(starts, first.start)
            edits = removal(self._text, mapping, position)
            found = f"a second `{first.text}`, the first is in line {line}"
            place = mapping.entries[position].key.start
            self.flaws.append(Flaw(place, loc, found, "each key once", (edits,) if edits else ()))
        self.flaws.sort(key=lambda flaw: flaw.index)

    def _copied(self, alias: Scalar, node: Node) -> Edit:
        """Return the edit that replaces an alias by its node; of a merge key, `<<: *name`, by the node's keys."""
        merge = _MERGE.search(self._text, 0, alias.start)
        if merge is None or not isinstance(node, Mapping):
            return Edit(alias.start, alias.end, written(plain(node)))
        column = merge.start() - self._text.rfind("\n", 0, merge.start()) - 1
        pairs = [f"{written(entry.key.text)}: {written(plain(entry.value))}" for entry in node.entries]
        return Edit(merge.start(), alias.end, ("\n" + " " * column).join(pairs))

    def place(self) -> Loc:
        """Return where the next node stands."""
        return self._open[-1].place() if self._open else ()

    def opening(self) -> int | None:
        """Return where the innermost bracket stands that has no end yet, None if none has."""
        return next((one.node.start for one in reversed(self._open) if one.node.flow), None)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        start, end = self._behind_properties(event), _index(event.end_mark)
        start = min(start, end)
        if event.style in ("|", ">"):
            scalar = Scalar(start, end, event.value, event.value, "block")
        elif event.style is None:
            scalar = Scalar(start, end, event.value, resolve(event.value), "plain")
        else:
            text = paired(event.value)
            scalar = Scalar(start, end, text, text, "quoted")
            self._refuse_unwritable(scalar)
        self._note_properties(event, scalar)
        return scalar

    def _refuse_unwritable(self, scalar: Scalar) -> None:
        if "\0" in scalar.text:
            self.flaws.append(Flaw(scalar.start, self.place(), "a NUL character", "text without it"))
        if not has_bytes(scalar.text):
            # No key, file or variable can hold it.
            found, expected = "half a surrogate pair, which is no character", "text without halves of surrogate pairs"
            self.flaws.append(Flaw(scalar.start, self.place(), found, expected))

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        start, loc = self._behind_properties(event), self.place()
        if len(self._open) >= MAX_DEPTH:
            raise _Stop(Flaw(start, (), f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}"))
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.node, Mapping) and top.key is None:
            expected = "text as a key; in quotes if it begins with a bracket"
            raise _Stop(Flaw(start, loc, "a mapping or list as a key", expected, self._in_quotes(top.node)))
        kind = Mapping if isinstance(event, yaml.MappingStartEvent) else Sequence
        node = kind(start, start, bool(event.flow_style))
        self._note_properties(event, node)
        self._attach(node)
        self._open.append(_Open(node, loc))

    def _in_quotes(self, node: Mapping) -> tuple[Edits, ...]:
        """Put a flow mapping that is none, like `{{ name }}`, in quotes, to the end of its line."""
        rest = _TO_LINE_END.match(self._text, node.start)
        return ((Edit(node.start, rest.end(), quoted(rest.group())),),) if node.flow and rest else ()

    def _behind_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> int:
        """Return where a node itself begins: behind its anchor and tag."""
        start = _index(event.start_mark)
        if event.anchor is None and event.tag is None:
            return start
        match = _PROPERTIES.match(self._text, start)
        return match.end() if match else start

    def _note_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, node: Node) -> None:
        start = _index(event.start_mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(node, self.place(), start, node.start)
        if event.tag is not None:
            name = event.tag.removeprefix("tag:yaml.org,2002:").lstrip("!")
            alone = Edit(start, node.start, "")
            if isinstance(node, Scalar) and name == "str":
                alone = Edit(start, node.end, written(node.text))
            self.flaws.append(
                Flaw(start, self.place(), f"the tag !{name}", "the value alone, text in quotes", ((alone,),))
            )

    def _attach(self, node: Node) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _Stop(Flaw(node.start, (), f"more than {MAX_VALUES} values", "several smaller files"))
        top = self._open[-1] if self._open else None
        if top is None:
            self.root = node
        elif isinstance(top.node, Sequence):
            top.node.items.append(node)
        elif top.key is None:
            assert isinstance(node, Scalar)  # for others _begin stops
            top.key = node
        else:
            self._enter(top.node, top, Entry(top.key, node))
            top.key = None

    def _enter(self, mapping: Mapping, top: _Open, entry: Entry) -> None:
        first = mapping.add(entry)
        if first is not entry:
            self._twice.append((mapping, len(mapping.entries) - 1, (*top.loc, entry.key.text), first.key))
        if entry.key.text == "" and entry.key.style == "plain":
            self.flaws.append(Flaw(entry.key.start, top.loc, "a key without a name", "a name in front of the colon"))
        if entry.key.text == "<<" and not isinstance(entry.value, Scalar):
            loc = (*top.loc, "<<")
            self.flaws.append(Flaw(entry.key.start, loc, "the merge key <<", "the keys themselves, written out"))


def _lines(starts: list[int], nodes: list[Scalar]) -> str:
    return ", ".join(dict.fromkeys(str(bisect_right(starts, node.start)) for node in nodes[:_MAX_SHOWN_ALIASES]))


def _index(mark: Any) -> int:
    return mark.index  # type: ignore[no-any-return]  # the library's Mark, whose stubs allow for None


def _end_of_parts(node: Mapping | Sequence) -> int:
    """Return the end of a block collection: the library's is the begin of whatever follows, comments skipped."""
    if isinstance(node, Mapping):
        return node.entries[-1].value.end if node.entries else node.start
    return node.items[-1].end if node.items else node.start
