"""One look at a configuration file with the variables over it, and whose mistake is whose.

In:  a document, what the variables say, the model of both together. Out: what the model read; where each value is from.
Not here: the models (config_file.py, settings.py); how mistakes in a file (documents/) and in variables are told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from oscar_events.documents.tree import Document
from oscar_events.errors import ConfigurationError
from oscar_events.mistakes import Loc, Mistake, mistakes_in
from oscar_events.settings import Settings, contradictions
from oscar_events.variables import fields, told, variable

S = TypeVar("S", bound=Settings)

# A variable that sets one of these takes the place of the other in the file.
_ALTERNATIVES = {"url": "url_file", "sasl_password": "sasl_password_file"}
_ALTERNATIVES |= {other: one for one, other in _ALTERNATIVES.items()}


class Overlay(Generic[S]):
    """Reads the file at path, given as a document, as the model, with the variables' texts over it.

    confidential: names of keys below which everything is secret.
    """

    def __init__(self, path: Path, texts: Mapping[Loc, str], model: type[S], confidential: frozenset[str]) -> None:
        self._path, self._texts, self._model, self._confidential = path, texts, model, confidential
        self._found: tuple[Document, S] | None = None
        self._elsewhere: list[Mistake] = []

    def check(self, document: Document) -> list[Mistake]:
        """Read a document; return the mistakes in it, keep those of the variables."""
        try:
            read = self._model.model_validate(self._merged(document))
        except ValidationError as error:
            mistakes = mistakes_in(error, self._model, self._confidential)
        else:
            self._found = document, read
            mistakes = list(contradictions(read))
        self._elsewhere = [one for one in mistakes if self._is_elsewhere(document, one.loc)]
        return [one for one in mistakes if one not in self._elsewhere]

    def result(self) -> S:
        """Return what was read last. Raises ConfigurationError for mistakes of the variables."""
        if self._elsewhere:
            raise ConfigurationError(told(self._elsewhere))
        assert self._found is not None  # without mistakes it was read
        return self._found[1]

    def origins(self, beside: Iterable[tuple[Loc, Loc]]) -> dict[Loc, str]:
        """Return, for people, where each setting was set; no defaults.

        beside: what else the file says: what a value is called, and the place in the file that gives it.
        """
        assert self._found is not None
        document, found = self._found[0], {}
        for loc, written in (*((loc, loc) for loc in fields()), *beside):
            if loc in self._texts:
                found[loc] = variable(loc)
            elif document.node(written) is not None:
                found[loc] = f"{self._path.name}, line {document.line(written)}"
        return found

    def _merged(self, document: Document) -> object:
        """Return the document as plain values, the variables in it, the files they name by their absolute paths."""
        merged = {} if document.root is None else document.value
        for loc in fields():
            *above, name = map(str, loc)
            text = self._texts.get(loc)
            section = _section(merged, above, make=text is not None)
            if section is None:
                continue
            if text is not None:
                section.pop(_ALTERNATIVES.get(name, ""), None)
                section[name] = os.path.abspath(text) if name.endswith("_file") else text
            elif name.endswith("_file") and isinstance(file := section.get(name), str):
                section[name] = str(self._path.parent / file)
        return merged

    def _is_elsewhere(self, document: Document, loc: Loc) -> bool:
        return loc in self._texts or (bool(self._texts) and document.node(loc[:1]) is None)


def _section(value: object, above: list[str], *, make: bool) -> dict[str, object] | None:
    """Return the mapping at a place; None if something else is there, which is the file's mistake, or nothing."""
    for part in above:
        if not isinstance(value, dict):
            return None
        if make and value.get(part) is None:
            value[part] = {}
        value = value.get(part)
    return value if isinstance(value, dict) else None
