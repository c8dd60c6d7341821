"""Finds every mistake in a text, and for each a change that was tried and mends it.

In:  a text, and a check: what is wrong with a document that can be read. Out: the document, the problems in it.
Not here: reading (scan.py), candidates for changes (syntax.py, edits.py), how problems are told (report.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oscar_events.documents.edits import edited, edits_for
from oscar_events.documents.scan import Scan, scan
from oscar_events.documents.syntax import Flaw
from oscar_events.documents.tree import Document
from oscar_events.mistakes import Change, Loc, Mistake

Check = Callable[[Document], list[Mistake]]

# So many are told and mended at a time: more than a screen shows.
MAX_TOLD = 20
# Characters that are read again, in all, in search of changes that mend: about 3 s of the slowest text there is, and a
# hundred tries for a service file of usual size. Where they are used up, mistakes are told without such a change.
_BUDGET = 400_000
# A change may bring out the next mistake at its place, a number becoming text that is no name: so many are followed.
_FOLLOWED = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake with its line. mended: the whole text with this one mended, as read; None if no way is known to.

    change: what to do in words, where it can be said and was not tried in vain.
    """

    line: int
    loc: Loc
    found: str
    expected: str
    change: Change | None
    mended: Scan | None


@dataclass(frozen=True, slots=True)
class Examined:
    """problems: the first MAX_TOLD, by line. more: how many there are beyond."""

    document: Document
    read: Scan
    problems: list[Problem]
    more: int


def examine(text: str, name: str, check: Check) -> Examined:
    """Read a text and check it. name: how messages call it."""
    read = scan(text)
    document = Document(name, text, read.root)
    search = _Search(check)
    if read.flaws:
        problems = [_problem(document, flaw, search.mended(read, flaw)) for flaw in read.flaws[:MAX_TOLD]]
        return Examined(document, read, problems, max(0, len(read.flaws) - MAX_TOLD))
    mistakes = sorted(check(document), key=lambda mistake: document.line(mistake.loc))
    problems = [
        Problem(document.line(one.loc), one.loc, one.found, one.expected, *search.changed(document, one))
        for one in mistakes[:MAX_TOLD]
    ]
    return Examined(document, read, problems, max(0, len(mistakes) - MAX_TOLD))


def _problem(document: Document, flaw: Flaw, mended: Scan | None) -> Problem:
    """Return a flaw as it is told: where a change above mends it, the parser noticed it late, and it is there."""
    line = document.line_of(flaw.index)
    if mended is not None:
        before, after = document.text, mended.text
        common = _in_common(before, after)
        behind = _in_common(before[common:][::-1], after[common:][::-1])
        if document.line_of(len(before) - behind) < line:
            line = document.line_of(common)
    return Problem(line, flaw.loc, flaw.found, flaw.expected, None, mended)


def _in_common(left: str, right: str) -> int:
    """Return with how many equal characters both begin."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(left), len(right)))


class _Search:
    """Tries changes, as long as there is budget."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._left = _BUDGET

    def _read(self, text: str) -> Scan | None:
        """Read a changed text; None if that would cost too much."""
        self._left -= len(text)
        return scan(text) if self._left >= 0 else None

    def mended(self, before: Scan, flaw: Flaw) -> Scan | None:
        """Return the text with a flaw mended by the candidate that leaves the least wrong, None if none mends it."""
        best: tuple[tuple[bool, int, int], Scan] | None = None
        tried = {before.text}
        for edits in flaw.repairs:
            candidate = edited(before.text, edits)
            if candidate in tried:
                continue
            tried.add(candidate)
            after = self._read(candidate)
            if after is None:
                break
            if after.broken and not _further(before, after):
                continue
            if not before.broken and len(after.flaws) >= len(before.flaws):
                continue
            left = 0 if after.flaws else len(self._check(Document("", candidate, after.root)))
            score = (after.broken, len(after.flaws), left)
            if best is None or score < best[0]:
                best = (score, after)
            if not any(score):
                break
        return best[1] if best else None

    def changed(self, document: Document, mistake: Mistake) -> tuple[Change | None, Scan | None]:
        """Return the change, unless it is known not to do, and the text with it made, if that mends the mistake."""
        change = mistake.change
        for _ in range(_FOLLOWED):
            edits = edits_for(document, mistake.loc, change) if change is not None else None
            if edits is None:
                return change, None  # to be made by hand
            text = edited(document.text, edits)
            after = self._read(text)
            if after is None:
                return change, None
            if after.flaws or text == document.text:
                return None, None
            document = Document(document.name, text, after.root)
            left = [one for one in self._check(document) if one.loc[: len(mistake.loc)] == mistake.loc]
            if not left:
                return change, after
            change = left[0].change if left[0].loc == mistake.loc else None
            if change is None:
                break
        return None, None


def _further(before: Scan, after: Scan) -> bool:
    """Whether reading stopped on a later line than before: this flaw is gone, and another is behind it."""
    return before.broken and after.text.count("\n", after.stopped_at) < before.text.count("\n", before.stopped_at)
