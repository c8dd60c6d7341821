"""Files that people write, in YAML or JSON: read safely, and answered with errors that teach.

In:  a text, or the path of one. Out: a `Document` with the place of every value; or an error whose report names, for
each mistake, line, field, what was found, what is expected, and the lines to change.
Not here: what may stand in a file (the models; fdl.py for service files).

    scan.py, scalars.py, tree.py   text -> values with places; bombs refused before anything is built
    syntax.py, edits.py            changes of the text that may mend it
    examine.py, report.py          the mistakes, the changes that do; how they are told
    files.py                       path -> text
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from oscar_events.documents.examine import Check, Examined, examine
from oscar_events.documents.files import NoTextError, read_text
from oscar_events.documents.report import place_of, printable, told
from oscar_events.documents.tree import Document
from oscar_events.errors import DocumentError
from oscar_events.mistakes import Mistake, mistakes_in

M = TypeVar("M", bound=BaseModel)


def read_document(
    text: str, name: str, check: Check, confidential: frozenset[str], error: type[DocumentError] = DocumentError
) -> Document:
    """Return the document a text holds. name: how messages call it. check: what is wrong with it, told as mistakes.

    confidential: names of keys below which everything is secret. Raises error, with a report, for any mistake.
    """
    examined = examine(text, name, check)
    if examined.problems:
        raise _refusal(examined, confidential, error)
    return examined.document


def load_model(path: Path, model: type[M], confidential: frozenset[str]) -> M:
    """Return what a file says, as the model reads it; an empty file as an empty mapping. Raises DocumentError."""

    read: M | None = None

    def check(document: Document) -> list[Mistake]:
        nonlocal read
        try:
            read = model.model_validate({} if document.root is None else document.value)
        except ValidationError as error:
            return mistakes_in(error, model, confidential)
        return []

    read_document(load_text(path), str(path), check, confidential)
    assert read is not None  # without mistakes it was read
    return read


def load_text(path: Path, error: type[DocumentError] = DocumentError) -> str:
    """Return the text of a file that people named. Raises error if there is none."""
    try:
        return read_text(path)
    except NoTextError as no_text:
        where = f"{path}, line {no_text.line}" if no_text.line else str(path)
        raise error(where, no_text.found, f"expected: {no_text.expected}") from no_text


def _refusal(examined: Examined, confidential: frozenset[str], error: type[DocumentError]) -> DocumentError:
    first = examined.problems[0]
    found, expected = printable(first.found), printable(first.expected)
    return error(place_of(examined, first), f"found {found}", f"write {expected}", told(examined, confidential))
