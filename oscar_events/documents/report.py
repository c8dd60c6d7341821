"""What people are told about a document that is wrong: line, field, found, expected, and the changed lines.

In:  problems. Out: text of several lines, the same for the same file; secrets are in none of it.
Not here: finding problems and trying changes (examine.py).

A fix is lines to take away, `- <line>: <text>`, and lines to add, `+ <line>: <text>`: the numbers of the first are
those of the file as it is, of the others those of the file with this one fix made. Everything behind the colon and one
space is the line itself. Where no such change is known, or it would show a secret, the fix is a sentence; there is none
if it would only repeat what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from oscar_events.documents.examine import Examined, Problem
from oscar_events.documents.scalars import written
from oscar_events.documents.scan import Scan
from oscar_events.documents.tree import Document, Mapping, Node, Sequence, line_starts
from oscar_events.mistakes import Loc, Remove, Rename, Write, is_confidential, path_of

# A change of more, or wider ones, is not read on a screen.
_MAX_LINES = 40
_MAX_WIDTH = 200

_KEY = re.compile(r"""(?P<lead>[ \t]*(?:-[ \t]+)*)["']?(?P<key>[\w.-]+)["']?[ \t]*:""")
_ANY_KEY = re.compile(r"[\w.-]+(?=[\"']?\s*:)")


def told(examined: Examined, confidential: frozenset[str]) -> str:
    """Return the report. confidential: names of keys below which everything is secret."""
    blocks = [_block(examined, problem, confidential) for problem in examined.problems]
    if examined.more:
        blocks.append(f"and {examined.more} more")
    return "\n".join(blocks)


def place_of(examined: Examined, problem: Problem) -> str:
    """Return file, line and field: `blur.yaml, line 9: functions.oscar[0].laptop.memory`."""
    field = path_of(problem.loc)
    return printable(f"{examined.document.name}, line {problem.line}" + (f": {field}" if field else ""))


def printable(text: str) -> str:
    """Return text on one line that does nothing to a terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _block(examined: Examined, problem: Problem, confidential: frozenset[str]) -> str:
    lines = [
        f"error: {place_of(examined, problem)}",
        f"  found:    {printable(problem.found)}",
        f"  expected: {printable(problem.expected)}",
    ]
    difference = _difference(examined, problem, confidential)
    if difference:
        return "\n".join([*lines, "  fix:", *(f"  {line}" for line in difference)])
    sentence = _sentence(problem, confidential)
    return "\n".join([*lines, f"  fix:      {printable(sentence)}"] if sentence else lines)


def _sentence(problem: Problem, confidential: frozenset[str]) -> str:
    """Return what to do, empty where that is what is expected."""
    key, change = str(problem.loc[-1]) if problem.loc else "", problem.change
    if isinstance(change, Rename):
        return f"rename `{key}` to `{change.to}`"
    if isinstance(change, Remove):
        return f"remove `{key}`"
    if is_confidential(problem.loc, confidential):
        return f"correct line {problem.line}, which is not repeated here because it may be secret"
    text = written(change.value) if isinstance(change, Write) else ""
    is_more = text and len(text) <= _MAX_WIDTH and text != problem.expected
    return f"write `{text}`" if is_more else ""


def _difference(examined: Examined, problem: Problem, confidential: frozenset[str]) -> list[str]:
    """Return the lines that change, none if they are too many or must not be shown."""
    if problem.mended is None or is_confidential(problem.loc, confidential):
        return []
    before, after = _lines(examined.read.text), _lines(problem.mended.text)
    taken, added = _changes(before, after)
    lines = [(before[number], "-", number) for number in taken] + [(after[number], "+", number) for number in added]
    if not lines or len(lines) > _MAX_LINES or any(len(line) > _MAX_WIDTH for line, _, _ in lines):
        return []
    if any(not sign.isprintable() and sign != "\t" for line, _, _ in lines for sign in line):
        return []
    secret_before = _secret_lines(examined.read, confidential)
    secret_after = _secret_lines(problem.mended, confidential)
    if not secret_before.isdisjoint(taken) or not secret_after.isdisjoint(added):
        return []
    return [f"{sign} {number + 1}: {line}" for line, sign, number in lines]


def _changes(before: list[str], after: list[str]) -> tuple[list[int], list[int]]:
    """Return the lines that go and those that come, counted from 0."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    stop = 0
    while stop < min(len(before), len(after)) - start and before[-1 - stop] == after[-1 - stop]:
        stop += 1
    middle_before, middle_after = before[start : len(before) - stop], after[start : len(after) - stop]
    if len(middle_before) + len(middle_after) > 10 * _MAX_LINES:  # will not be shown; comparing is not linear
        return list(range(start, len(before) - stop)), list(range(start, len(after) - stop))
    taken: list[int] = []
    added: list[int] = []
    for kind, a, b, c, d in SequenceMatcher(None, middle_before, middle_after, autojunk=False).get_opcodes():
        if kind != "equal":
            taken += range(start + a, start + b)
            added += range(start + c, start + d)
    return taken, added


def _lines(text: str) -> list[str]:
    starts = line_starts(text)
    return [text[start:end].rstrip("\r\n") for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _secret_lines(read: Scan, confidential: frozenset[str]) -> set[int]:
    """Return the lines, from 0, that may hold a secret: by the tree if there is one, else by keys and indentation."""
    if read.broken:
        return set(_secret_by_indentation(_lines(read.text), confidential))
    document = Document("", read.text, read.root)
    return {
        line
        for start, end in _secret_spans(read.root, (), confidential)
        for line in range(document.line_of(start) - 1, document.line_of(end))
    }


def _secret_spans(node: Node | None, loc: Loc, confidential: frozenset[str]) -> Iterator[tuple[int, int]]:
    if isinstance(node, Mapping):
        for entry in node.entries:
            if not is_confidential((entry.key.text,), confidential):
                yield from _secret_spans(entry.value, (*loc, entry.key.text), confidential)
            elif entry.value.end > entry.value.start:
                yield entry.value.start, entry.value.end - 1
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from _secret_spans(item, (*loc, index), confidential)


def _secret_by_indentation(lines: list[str], confidential: frozenset[str]) -> Iterator[int]:
    """Yield lines on which a confidential key stands, and all below it.

    Those are what is indented more than the key. Where the first line behind a key alone is not, its indentation may be
    what is wrong: then it and what follows it count too.
    """
    below: int | None = None
    is_alone = False
    for number, line in enumerate(lines):
        width = len(line) - len(line.lstrip())
        if below is not None and line.strip() and width <= below:
            below = width - 1 if is_alone else None
        is_alone = is_alone and not line.strip()
        if below is not None or any(is_confidential((key,), confidential) for key in _ANY_KEY.findall(line)):
            yield number
            if below is None:
                key = _KEY.match(line)
                below = len(key["lead"]) if key else width
                is_alone = line.partition(" #")[0].rstrip().endswith(":")
