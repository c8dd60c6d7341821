"""What a model found wrong, told to people: found, expected, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from oscar_events.documents import load_model
from oscar_events.errors import ConfigurationError, DocumentError
from oscar_events.mistakes import (
    Change,
    Loc,
    Mistake,
    Remove,
    Rename,
    Write,
    is_confidential,
    mistakes_in,
    nearest,
    path_of,
    service_error,
    wrong,
)

SECRET = frozenset({"keys"})


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


def _even(value: int) -> int:
    if value % 2:
        raise wrong(f"the odd number {value}", "an even number", Write(value + 1))
    return value


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    size: Annotated[int, Field(ge=1, lt=10)] = 1
    flag: bool = False
    colour: Colour = Colour.RED


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(examples=["one"])]
    kind: Literal["a", "bcd"] = "a"
    even: Annotated[int, AfterValidator(_even)] = 2
    either: int | list[int] = 0
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[Annotated[str, Field(max_length=3)], Inner] = {}
    keys: dict[str, SecretStr] = {}


def found_in(**fields: Any) -> list[Mistake]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(fields)
    return mistakes_in(caught.value, Outer, SECRET)


@pytest.mark.parametrize(
    ("fields", "loc", "found", "expected", "change"),
    [
        ({}, ("name",), "no name", "the key name, like `name: one`", Write("one")),
        ({"nmae": "x"}, ("nmae",), "the key nmae, and no name", "the key name", Rename("name")),
        ({"name": 5}, ("name",), "the number 5", "text", Write("5")),
        ({"name": True}, ("name",), "true", "text", Write("true")),
        ({"name": ["x"]}, ("name",), "a list", "text", Write("x")),
        ({"name": {}}, ("name",), "a mapping", "text", None),
        ({"name": None}, ("name",), "nothing", "text", None),
        ({"kind": "bcde"}, ("kind",), "the text bcde", "one of a, bcd", Write("bcd")),
        ({"even": 3}, ("even",), "the odd number 3", "an even number", Write(4)),
        ({"even": "4 of"}, ("even",), "the text 4 of", "a whole number", None),
        ({"even": 4.5}, ("even",), "the number 4.5", "a whole number", None),
        ({"either": "x"}, ("either",), "the text x", "a whole number, or a list", Write(["x"])),
        ({"inner": {"size": 0}}, ("inner", "size"), "the number 0", "a number of at least 1", Write(1)),
        ({"inner": {"size": 10}}, ("inner", "size"), "the number 10", "a number below 10", Write(9)),
        ({"inner": {"flag": "enabled"}}, ("inner", "flag"), "the text enabled", "true or false", Write(True)),
        ({"inner": {"colour": "gren"}}, ("inner", "colour"), "the text gren", "one of red, green", Write("green")),
        ({"inner": {"sise": 1}}, ("inner", "sise"), "the key sise", "one of colour, flag, size", Rename("size")),
        ({"inner": {"zz": 1}}, ("inner", "zz"), "the key zz", "one of colour, flag, size", Remove()),
        ({"inner": 5}, ("inner",), "the number 5", "a mapping of keys to values", None),
        ({"many": {"size": 1}}, ("many",), "a mapping", "a list", Write([{"size": 1}])),
        ({"many": [{}, {"size": 0}]}, ("many", 1, "size"), "the number 0", "a number of at least 1", Write(1)),
        ({"named": ["a=1"]}, ("named",), "a list", "a mapping of keys to values", Write({"a": "1"})),
        ({"named": [{"name": "a", "value": 1}]}, ("named",), "a list", "a mapping of keys to values", Write({"a": 1})),
        ({"keys": {"a": 5}}, ("keys", "a"), "a number", "text", Write("5")),
        ({"keys": {"a": ["x"]}}, ("keys", "a"), "a list", "text", Write("x")),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    fields: dict[str, Any], loc: Loc, found: str, expected: str, change: Change | None
) -> None:
    fields = fields if fields.keys() & {"name", "nmae"} or not fields else {"name": "x", **fields}
    [first, *_] = found_in(**fields)
    assert first == Mistake(loc, found, expected, change)


def test_a_key_that_may_not_be_there_is_told_at_its_own_place() -> None:
    [mistake] = found_in(name="x", named={"long": {}})
    assert mistake.loc == ("named", "long")


def test_all_mistakes_are_found_each_once() -> None:
    locs = [one.loc for one in found_in(name=5, either="x", inner={"size": 0, "flag": "x"})]
    assert locs == [("name",), ("either",), ("inner", "size"), ("inner", "flag")]


@pytest.mark.parametrize(
    ("loc", "is_secret"),
    [
        (("keys", "a"), True),
        (("environment", "secrets", "X"), True),
        (("environment", "secrts", "X"), True),
        (("environment", "variables", "DB_PASSWORD"), True),
        (("environment", "variables", "DB_PASS"), True),
        (("s3", "mine", "access_key"), True),
        (("environment", "variables", "PASSES"), False),
        (("input", 0, "storage_provider"), False),
        (("service",), False),
    ],
)
def test_which_places_are_never_repeated(loc: Loc, is_secret: bool) -> None:
    assert is_confidential(loc, SECRET) is is_secret


def test_without_a_file_the_first_mistake_is_told_and_the_others_named() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"name": 5, "keys": {"a": 5}})
    error = service_error(caught.value, Outer, "functions.oscar[0].laptop.", SECRET)
    assert str(error) == "functions.oscar[0].laptop.name: found the number 5; write text (also wrong: keys.a)"
    assert error.report == ""


def test_a_place_is_written_as_people_write_it() -> None:
    assert path_of(("functions", "oscar", 0, "laptop", "memory")) == "functions.oscar[0].laptop.memory"


def test_the_nearest_name_is_found_in_any_letters_and_none_where_none_is_near() -> None:
    assert nearest("Concurency", ["timeout", "concurrency"]) == "concurrency"
    assert nearest("zzz", ["timeout", "concurrency"]) is None


def test_a_model_is_loaded_from_a_file_or_every_mistake_in_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: one\nkeys:\n  a: '0755'\n")
    assert load_model(path, Outer, SECRET).keys["a"].get_secret_value() == "0755"
    path.write_text("nmae: one\nkind: bcde\nkeys:\n  a: [canary]\n")
    with pytest.raises(DocumentError) as caught:
        load_model(path, Outer, SECRET)
    assert isinstance(caught.value, ConfigurationError)
    assert (
        caught.value.report
        == f"""\
error: {path}, line 1: nmae
  found:    the key nmae, and no name
  expected: the key name
  fix:
  - 1: nmae: one
  + 1: name: one
error: {path}, line 2: kind
  found:    the text bcde
  expected: one of a, bcd
  fix:
  - 2: kind: bcde
  + 2: kind: bcd
error: {path}, line 4: keys.a
  found:    a list
  expected: text
  fix:      correct line 4, which is not repeated here because it may be secret"""
    )


def test_an_empty_file_is_an_empty_mapping_to_a_model(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# nothing\n")
    assert load_model(path, Inner, SECRET) == Inner()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(DocumentError, match=r"config\.yml is not there; .* like config\.yaml"):
        load_model(tmp_path / "config.yml", Inner, SECRET)
