"""Changes of a text change what they are for, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from oscar_events.documents.edits import edited, edits_for
from oscar_events.documents.scan import scan
from oscar_events.documents.tree import Document, plain
from oscar_events.mistakes import Change, Loc, Remove, Rename, Write

_names = st.text("abcxyz", min_size=1, max_size=3)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.sampled_from(["x", "a b", "1.10", "yes", "#", "", "two\nlines\n"])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(_names, inner, min_size=1, max_size=3),
    max_leaves=12,
)
_documents = st.dictionaries(_names, _values, min_size=1, max_size=4)


def document_of(text: str) -> Document:
    read = scan(text)
    assert read.flaws == []
    return Document("d.yaml", text, read.root)


def changed(text: str, loc: Loc, change: Change) -> str:
    edits = edits_for(document_of(text), loc, change)
    assert edits is not None
    return edited(text, edits)


def spelled(value: object, style: str) -> str:
    if style == "json":
        return json.dumps(value)
    return yaml.safe_dump(
        value, default_flow_style={"block": False, "flow": True, "mixed": None}[style], sort_keys=False
    )


def places(value: object, loc: Loc = ()) -> list[Loc]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in below for place in ((*loc, key), *places(part, (*loc, key)))]


def parent_of(value: Any, loc: Loc) -> Any:
    for part in loc[:-1]:
        value = value[part]
    return value


@given(value=_documents, style=st.sampled_from(["json", "block", "flow", "mixed"]), new=_values, data=st.data())
def test_a_value_written_anywhere_is_there_and_all_else_is_as_before(
    value: dict[str, Any], style: str, new: object, data: st.DataObject
) -> None:
    text = spelled(value, style)
    loc = data.draw(st.sampled_from(places(value)))
    wanted = copy.deepcopy(value)
    parent_of(wanted, loc)[loc[-1]] = new
    assert document_of(changed(text, loc, Write(new))).value == wanted


@given(value=_documents, style=st.sampled_from(["json", "block", "flow", "mixed"]), data=st.data())
def test_a_key_that_is_missing_is_added_to_its_mapping(value: dict[str, Any], style: str, data: st.DataObject) -> None:
    text = spelled(value, style)
    loc = (*data.draw(st.sampled_from([(), *places(value)])), "new")
    parent = parent_of(value, loc)
    assume(isinstance(parent, dict))
    wanted = copy.deepcopy(value)
    parent_of(wanted, loc)["new"] = 1
    assert document_of(changed(text, loc, Write(1))).value == wanted


@given(value=_documents, style=st.sampled_from(["json", "block", "flow", "mixed"]), data=st.data())
def test_what_is_removed_is_gone_and_all_else_is_as_before(
    value: dict[str, Any], style: str, data: st.DataObject
) -> None:
    text = spelled(value, style)
    loc = data.draw(st.sampled_from(places(value)))
    assume(len(parent_of(value, loc)) > 1)
    wanted = copy.deepcopy(value)
    del parent_of(wanted, loc)[loc[-1]]
    assert document_of(changed(text, loc, Remove())).value == wanted


@pytest.mark.parametrize(
    ("text", "loc", "change", "becomes"),
    [
        ("a: 1  # one\nb: 2\n", ("a",), Write("x y"), 'a: "x y"  # one\nb: 2\n'),
        ("a:\n  # why\n  b: 1\nc: 2\n", ("a", "d"), Write(3), "a:\n  # why\n  b: 1\n  d: 3\nc: 2\n"),
        ("- a: 1\n  b: 2\n", (0, "a"), Remove(), "- b: 2\n"),
        ("a: {b: 1, c: 2}\n", ("a", "c"), Rename("d"), "a: {b: 1, d: 2}\n"),
        ("a: {}\n", ("a", "b", "c"), Write(1), "a: {b: {c: 1}}\n"),
        ("a:\nb: 1\n", ("a", "c"), Write(1), "a: {c: 1}\nb: 1\n"),
        ("a: 1", ("b",), Write(2), "a: 1\nb: 2"),  # no end of the last line
        ('{"a": 1}', ("b",), Write("x"), '{"a": 1, "b": "x"}'),  # JSON stays JSON
        ("a:\n  b: 1\n  c: 2\n", ("a",), Write([{"b": 1, "c": 2}]), "a:\n  - b: 1\n    c: 2\n"),
        ("a:\n  b: 1\n  c: 2\n", ("a",), Write([{"b": 1}, {"c": 2}]), "a:\n  - b: 1\n  - c: 2\n"),
        ("a: [1]\n", ("a",), Write({"b": [1]}), "a: {b: [1]}\n"),
        ("- a:\n  b: 1\n", (0,), Write({"a": {"b": 1}}), "- a:\n    b: 1\n"),
        ("# nothing\n", (), Write({"a": 1}), "# nothing\n{a: 1}\n"),
    ],
)
def test_the_rest_of_the_text_stays_as_people_wrote_it(text: str, loc: Loc, change: Change, becomes: str) -> None:
    assert changed(text, loc, change) == becomes
    assert plain(scan(becomes).root) is not None


def test_a_place_that_cannot_be_there_has_no_edits() -> None:
    document = document_of("a: [1]\n")
    assert edits_for(document, ("a", 3), Write(1)) is None
    assert edits_for(document, ("a", "b"), Write(1)) is None
    assert edits_for(document, ("b",), Remove()) is None
    assert edits_for(document, ("b",), Rename("c")) is None
