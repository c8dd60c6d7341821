"""Changes to a text, made at the places of what they change; the rest of the text, comments too, stays as it is.

In:  a document, a place in it and a `Change`. Out: the edits that make it, None if there is no short way.
Not here: whether the change mends anything (examine.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oscar_events.documents.scalars import quoted, written
from oscar_events.documents.tree import Document, Entry, Mapping, Node, Scalar, Sequence, plain
from oscar_events.mistakes import Change, Loc, Remove, Rename

_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from start to end."""

    start: int
    end: int
    text: str


Edits = tuple[Edit, ...]


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with the edits made; they do not overlap."""
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def edits_for(document: Document, loc: Loc, change: Change) -> Edits | None:
    """Return what makes a change at a place; for `Write` also where the place is not there yet."""
    if isinstance(change, Remove):
        return _remove(document, loc)
    if isinstance(change, Rename):
        entry = document.entry(loc)
        return None if entry is None else (Edit(entry.key.start, entry.key.end, _key(change.to, document)),)
    reached = document.reach(loc)
    value = change.value
    for part in reversed(loc[len(reached) + 1 :]):  # parents that are missing too
        if isinstance(part, int):
            return None
        value = {part: value}
    if reached == loc:
        return _replace(document, loc, value)
    return _add(document, reached, loc[len(reached)], value)


def removal(text: str, parent: Mapping | Sequence, position: int) -> Edits | None:
    """Return what takes an entry or item away, with its whole lines if nothing else is on them."""
    parts: list[Entry] | list[Node] = parent.entries if isinstance(parent, Mapping) else parent.items
    start, end = _span(parts[position])
    following = _span(parts[position + 1])[0] if position + 1 < len(parts) else None
    if parent.flow:
        if following is not None:
            return (Edit(start, following, ""),)
        return (Edit(_span(parts[position - 1])[1] if position else start, end, ""),)
    first = start if isinstance(parent, Mapping) else text.rfind("-", 0, start)
    line = _line_start(text, first)
    if text[line:first].strip():  # behind the dash of an item: the next one takes its place
        gap = " " if text[start - 1] == "-" else ""
        return (Edit(start, following, gap),) if following is not None else None
    return (Edit(line, _line_after(text, end), ""),)


def _remove(document: Document, loc: Loc) -> Edits | None:
    parent = document.node(loc[:-1]) if loc else None
    if isinstance(parent, Mapping):
        entry = parent.entry(loc[-1])
        return None if entry is None else removal(document.text, parent, parent.entries.index(entry))
    if isinstance(parent, Sequence) and isinstance(loc[-1], int) and loc[-1] < len(parent.items):
        return removal(document.text, parent, loc[-1])
    return None


def _replace(document: Document, loc: Loc, value: object) -> Edits | None:
    node = document.node(loc)
    if node is None:
        return (Edit(len(document.text), len(document.text), _on_own_line(document.text, written(value))),)
    new = _value(value, document)
    if isinstance(node, Scalar):
        if node.start == node.end:
            return (Edit(node.start, node.start, f" {new}"),)
        end = node.end if node.style != "block" else node.start + len(document.text[node.start : node.end].rstrip())
        return (Edit(node.start, end, new),)
    around = _around(value, plain(node))
    if around:
        return _wrapped(document, loc, node, around)
    rearranged = _nested(document.text, node, value) or _split(document.text, node, value)
    if rearranged is not None:
        return rearranged
    entry = document.entry(loc)
    if node.flow or entry is None:
        return (Edit(node.start, node.end, new),)
    # A block below its key: the value goes behind the colon.
    colon = document.text.index(":", entry.key.end)
    return (Edit(colon + 1, node.end, f" {new}"),)


def _around(value: object, inner: object) -> list[str | None]:
    """Return the keys, None for a list, that the value puts around what is there; empty if it is no such value."""
    around: list[str | None] = []
    while value != inner and isinstance(value, list | dict) and len(value) == 1:
        around.append(next(iter(value)) if isinstance(value, dict) else None)
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return around if value == inner else []


def _wrapped(document: Document, loc: Loc, node: Mapping | Sequence, around: list[str | None]) -> Edits:
    """Put a collection into a list, or below keys."""
    if node.flow:
        opening = "".join("[" if key is None else f"{{{written(key)}: " for key in around)
        closing = "".join("]" if key is None else "}" for key in reversed(around))
        return (Edit(node.start, node.start, opening), Edit(node.end, node.end, closing))
    text, entry = document.text, document.entry(loc)
    column = _column(text, node.start)
    # A list may stand right below its key; what is put around it may not.
    lead = "  " if entry is not None and column == _column(text, entry.key.start) else ""
    by = lead + "  " * len(around)
    column += len(lead)
    for depth, key in enumerate(around, 1):
        lead += "- " if key is None else f"{written(key)}:\n{' ' * (column + 2 * depth)}"
    return (Edit(node.start, node.start, lead), *_indented(text, _next_line(text, node.start), node.end, by))


def _nested(text: str, node: Mapping | Sequence, value: object) -> Edits | None:
    """Indent what stands beside a key without value, where the value is to have it below: `laptop:` and a service."""
    if not isinstance(node, Mapping) or node.flow or len(node.entries) < 2:
        return None
    first, *rest = node.entries
    below = {entry.key.text: plain(entry.value) for entry in rest}
    if plain(first.value) is not None or value != {first.key.text: below}:
        return None
    return _indented(text, _line_start(text, rest[0].key.start), node.end, "  ")


def _split(text: str, node: Mapping | Sequence, value: object) -> Edits | None:
    """Make an item of its own of each key: of a mapping that is to be a list, or of items that have several keys."""
    if isinstance(node, Mapping):
        items: list[Node] = [node]
    else:
        items = node.items
    pairs = [{key: part} for item in items if isinstance(own := plain(item), dict) for key, part in own.items()]
    if node.flow or value != pairs:
        return None
    edits: list[Edit] = []
    for item in items:
        assert isinstance(item, Mapping)
        for position, entry in enumerate(item.entries):
            if isinstance(node, Mapping):
                edits += [Edit(entry.key.start, entry.key.start, "- ")]
                edits += _indented(text, _next_line(text, entry.key.start), entry.value.end, "  ")
            elif position:
                edits.append(Edit(entry.key.start - 2, entry.key.start, "- "))
    return tuple(edits)


def _add(document: Document, parent_loc: Loc, key: str | int, value: object) -> Edits | None:
    parent = document.node(parent_loc)
    if isinstance(key, int):
        return None
    pair = f"{_key(key, document)}: {_value(value, document)}"
    if parent is None or (isinstance(parent, Scalar) and parent.value is None):
        return _replace(document, parent_loc, {key: value})
    if not isinstance(parent, Mapping):
        return None
    if not parent.entries:
        return (Edit(parent.start + 1, parent.start + 1, pair),)
    if parent.flow:
        end = _span(parent.entries[-1])[1]
        return (Edit(end, end, f", {pair}"),)
    first = parent.entries[0]
    indentation = " " * _column(document.text, first.key.start)
    at = _line_after(document.text, _span(first)[1])
    line = f"{indentation}{pair}\n"
    if at and document.text[at - 1] not in "\r\n":  # the last line has no end
        line = f"\n{indentation}{pair}"
    return (Edit(at, at, line),)


def _value(value: object, document: Document) -> str:
    return quoted(value) if _is_json(document) else written(value)


def _key(key: str, document: Document) -> str:
    return quoted(key) if _is_json(document) else written(key)


def _is_json(document: Document) -> bool:
    root = document.root
    return isinstance(root, Mapping) and root.flow and any(entry.key.style == "quoted" for entry in root.entries)


def _span(part: Entry | Node) -> tuple[int, int]:
    return (part.key.start, part.value.end) if isinstance(part, Entry) else (part.start, part.end)


def _indented(text: str, start: int, end: int, by: str) -> Edits:
    """Indent the lines that begin between start and end, but empty ones."""
    edits = []
    while start < end:
        if text[start : _line_end(text, start)].strip():
            edits.append(Edit(start, start, by))
        start = _next_line(text, start)
    return tuple(edits)


def _on_own_line(text: str, line: str) -> str:
    return f"{line}\n" if not text or text[-1] in "\r\n" else f"\n{line}\n"


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def _line_end(text: str, index: int) -> int:
    match = _BREAK.search(text, index)
    return len(text) if match is None else match.start()


def _next_line(text: str, index: int) -> int:
    match = _BREAK.search(text, index)
    return len(text) if match is None else match.end()


def _line_after(text: str, end: int) -> int:
    """Return where the first line behind a node begins; a block scalar ends there already."""
    return end if end and text[end - 1] in "\r\n" else _next_line(text, end)


def _column(text: str, index: int) -> int:
    return index - _line_start(text, index)
