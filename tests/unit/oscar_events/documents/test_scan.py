"""What a text is read as, and what is refused before anything is built of it."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.documents.scalars import resolve, written
from oscar_events.documents.scan import MAX_BYTES, MAX_DEPTH, MAX_VALUES, scan
from oscar_events.documents.tree import Document, Mapping, plain

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join(['*' + chr(97 + level)] * 9)}]\n" for level in range(8)
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=40), inner, max_size=4),
    max_leaves=20,
)


def value_of(text: str) -> object:
    read = scan(text)
    assert read.flaws == []
    return plain(read.root)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("4", 4),
        ("-4", -4),
        ("0.5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        # What YAML 1.1 would change.
        ("0755", "0755"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("2024-05-01", "2024-05-01"),
        ("2024-13-01", "2024-13-01"),
        ("1_000", "1_000"),
        # What a number would lose.
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("+4", "+4"),
        ("-0", "-0"),
        ("9" * 5000, "9" * 5000),
        # What is no number at all.
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
    ],
)
def test_a_plain_scalar_is_a_number_only_if_json_would_write_it_back_the_same(text: str, means: object) -> None:
    assert resolve(text) == means
    assert type(resolve(text)) is type(means)


@given(value=json_values)
def test_what_is_written_is_read_back_by_us_and_by_readers_of_yaml_1_1(value: object) -> None:
    if not any(sign in json.dumps(value) for sign in ("\\u0000", "\\ud", "e+", "e-", "-0")):
        assert value_of(f"key: {written(value)}") == {"key": value}
        assert yaml.safe_load(f"key: {written(value)}") == {"key": value}


# The library reads keys of up to 1024 characters, escapes as they are written.
@given(value=st.dictionaries(st.text(max_size=40), json_values, min_size=1), indent=st.sampled_from([None, 2, "\t"]))
def test_every_json_text_means_what_json_says(value: object, indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent)
    read = scan(text)
    if not read.flaws:  # NUL, and numbers that json writes in another way than people
        assert json.dumps(plain(read.root)).replace('"', "") == json.dumps(value).replace('"', "")
    else:
        assert {flaw.found for flaw in read.flaws} <= {
            "a NUL character",
            "half a surrogate pair, which is no character",
        }


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("too large", "#" * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
        ("too large in bytes", "é" * (MAX_BYTES // 2 + 1), f"more than {MAX_BYTES} bytes"),
        ("a bomb of aliases", BOMB, "the anchor &a, used in line 2"),
        ("nested lists", "[" * 5000, f"more than {MAX_DEPTH} levels"),
        ("nested dashes", "- " * 5000, f"more than {MAX_DEPTH} levels"),
        ("nested mappings", "".join(" " * level + "a:\n" for level in range(500)), f"more than {MAX_DEPTH} levels"),
        ("too many values", "a: [" + "1," * (MAX_VALUES + 1) + "]", f"more than {MAX_VALUES} values"),
        (
            "a tag that constructs",
            "a: !!python/object/apply:os.system ['true']",
            "the tag !python/object/apply:os.system",
        ),
        ("a tag of their own", "a: !x 1", "the tag !x"),
        ("an alias", "a: *b", "*b, an alias of nothing"),
        ("a merge key", "<<: {a: 1}", "the merge key <<"),
        ("a key twice", "a: {b: 1, c: 2, b: 3}", "a second `b`, the first is in line 1"),
        ("several documents", "a: 1\n---\nb: 2\n", "a second document"),
        ("half a surrogate pair", 'a: "\\ud800"', "half a surrogate pair, which is no character"),
        ("a raw one", "a: \ud800", "the control character U+D800, which no text holds"),
        ("NUL in a key", '"a\\0": 1', "a NUL character"),
        ("raw NUL", "a: \0", "the control character U+0000, which no text holds"),
        ("an escape to a terminal", "a: \x1b[2J", "the control character U+001B, which no text holds"),
        ("a list as a key", "? [a]\n: 1\n", "a mapping or list as a key"),
        ("no key", "?\n: 1\n", "a key without a name"),
        ("an odd escape", 'a: "\\UFFFFFFFF"', "no plain YAML: an escape or a version too large"),
    ],
)
def test_what_must_not_be_built_is_refused_by_its_first_flaw(name: str, text: str, found: str) -> None:
    read = scan(text)
    assert read.flaws[0].found == found, name


def test_a_pair_of_surrogates_is_one_character_as_in_json() -> None:
    assert value_of('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert value_of("1: a\non: b\ntrue: c\n1.0: d\n") == {"1": "a", "on": "b", "true": "c", "1.0": "d"}


def test_every_key_value_and_item_has_its_place() -> None:
    text = "# c\na:\n  b: [1, {c: 2}]\n  # d\n  e: |\n    x\n\nf:\n- g\n-\n  h: i\n"
    document = Document("d.yaml", text, scan(text).root)
    lines = {("a",): 2, ("a", "b"): 3, ("a", "b", 1, "c"): 3, ("a", "e"): 5, ("f",): 8, ("f", 0): 9, ("f", 1, "h"): 11}
    assert {loc: document.line(loc) for loc in lines} == lines
    assert document.line(("f", 1, "h", "gone")) == 11
    assert document.line(("gone",)) == 2
    assert document.reach(("A", "B", 5)) == ("A", "B")  # keys in any letters
    assert isinstance(document.root, Mapping)
    assert text[document.root.entries[0].value.end - 1] == "\n"  # the block scalar's last line, nothing behind it


@given(text=st.text(alphabet=st.sampled_from([*"{}[]:,-#&*!|>'\"%@ \n\t?<ab1\\\0\x1b\ud800"]), max_size=80))
def test_any_text_is_read_or_has_flaws_with_places_in_it(text: str) -> None:
    read = scan(text)
    assert all(0 <= flaw.index <= len(text) for flaw in read.flaws)
    assert not read.broken or read.flaws
