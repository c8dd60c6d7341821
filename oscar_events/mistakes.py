"""Mistakes in what people write: what was found, what is expected, and the change that mends it.

In:  the place of a value in a document, and what is wrong with it; or all that pydantic found wrong with one.
Out: a `Mistake`, without file and line.
Not here: the line and the printed change (documents/), which values are wrong (the models).

A model tells of a wrong value by `raise wrong(found, expected, change)` in a validator.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from oscar_events.errors import ServiceError

# Keys and indexes from the top of a document: ("functions", "oscar", 0, "laptop", "memory").
Loc = tuple[str | int, ...]

# The type of pydantic errors made by `wrong`.
WRONG = "wrong"

# Names under which people keep what nobody else may read, whatever a model knows of them.
_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|private|(access|api)[-_]?key|(^|_)pass($|_)", re.IGNORECASE
)

# difflib's likeness of `secrets` and `serets` is 0.92, `scerets` 0.86, of `service` 0.57.
_NEARLY_THE_SAME = 0.8


@dataclass(frozen=True, slots=True)
class Write:
    """Give the place this value (JSON-able): replaces what is there, adds the key if it is missing."""

    value: object


@dataclass(frozen=True, slots=True)
class Rename:
    """Give the key at the place another name; its value stays."""

    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the key, or the element of the list, away."""


Change = Write | Rename | Remove


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. found and expected: for people, half a sentence each; found never repeats a secret.

    change: what to do about it at loc; None only where no concrete text can be known to be right.
    """

    loc: Loc
    found: str
    expected: str
    change: Change | None = None


def wrong(found: str, expected: str, change: Change | None = None) -> PydanticCustomError:
    """Return the error a validator raises for the value it was given."""
    return PydanticCustomError(WRONG, "{found}; {expected}", {"found": found, "expected": expected, "change": change})


def path_of(loc: Loc) -> str:
    """Return a place as people write it: `functions.oscar[0].laptop.memory`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def is_confidential(loc: Loc, confidential: frozenset[str]) -> bool:
    """Whether what stands at a place, or below it, is never repeated: a key on the way to it says so.

    confidential: names of keys below which everything is. Names like `access_key` and `DB_PASSWORD` are in any case,
    and so is a misspelt `secrets`.
    """
    names = [part.casefold() for part in loc if isinstance(part, str)]
    return any(
        name in confidential
        or _SECRET_NAME.search(name) is not None
        or difflib.SequenceMatcher(None, name, "secrets").ratio() >= _NEARLY_THE_SAME
        for name in names
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, None if none is near."""
    by_folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def service_error(
    error: ValidationError, model: type[BaseModel], prefix: str, confidential: frozenset[str]
) -> ServiceError:
    """Return the error for a service that came without a file; it tells of the first mistake and names the others.

    prefix: written before the field's path, like `functions.oscar[0].laptop.`
    """
    first, *others = mistakes_in(error, model, confidential)
    where = (prefix + path_of(first.loc)).rstrip(".: ") or "service"
    also = ", ".join(dict.fromkeys(path_of(other.loc) for other in others))
    fix = f"write {first.expected}"
    return ServiceError(where, f"found {first.found}", f"{fix} (also wrong: {also})" if also else fix)


def mistakes_in(error: ValidationError, model: type[BaseModel], confidential: frozenset[str]) -> list[Mistake]:
    """Return everything pydantic found wrong, in its order; of a value that could be several things, one mistake."""
    by_loc: dict[Loc, Mistake] = {}
    for details in error.errors(include_url=False):
        loc, owner = _place(details["loc"], model)
        mistake = _mistake(details, loc, owner, is_confidential(loc, confidential))
        earlier = by_loc.get(mistake.loc)
        if earlier is not None and isinstance(earlier.change, Rename):
            continue  # a key that is missing under its name is unknown under the one it has
        if earlier is not None and earlier.expected != mistake.expected:
            expected = f"{earlier.expected}, or {mistake.expected}"
            mistake = Mistake(loc, earlier.found, expected, earlier.change or mistake.change)
        by_loc[mistake.loc] = mistake
    return list(by_loc.values())


def shown(value: object, hidden: bool = False) -> str:
    """Return a value for people, with what it is; hidden: only what it is."""
    kinds = {bool: "", int: "the number ", float: "the number ", str: "the text ", type(None): "nothing"}
    if type(value) not in kinds:
        return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, Mapping) else "a value"
    if value is None:
        return "nothing"
    if hidden:
        return "a text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "a number"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > _MAX_SHOWN:
        text = f"{text[:_MAX_SHOWN]}..."
    return kinds[type(value)] + (text or "''")


def _mistake(details: ErrorDetails, loc: Loc, owner: type[BaseModel] | None, hidden: bool) -> Mistake:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == WRONG:
        return Mistake(loc, context["found"], context["expected"], context["change"])
    fields = owner.model_fields if owner is not None else {}
    if kind == "missing":
        return _missing(loc, value, fields)
    if kind == "extra_forbidden":
        meant = nearest(str(loc[-1]), fields)
        return Mistake(
            loc, f"the key {loc[-1]}", f"one of {', '.join(sorted(fields))}", Rename(meant) if meant else Remove()
        )
    if kind in ("literal_error", "enum"):
        accepted = re.findall(r"'([^']*)'", str(context["expected"]))
        return Mistake(loc, shown(value, hidden), f"one of {', '.join(accepted)}", _nearest_of(value, accepted))
    for limit, (words, step) in _LIMITS.items():
        if limit in context:
            bound = context[limit]
            return Mistake(loc, shown(value, hidden), f"a number {words} {bound}", Write(bound + step))
    for start, expected, meant_value in _EXPECTED:
        if kind.startswith(start):
            return Mistake(loc, shown(value, hidden), expected, meant_value(value))
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return Mistake(loc, shown(value, hidden), message[:1].lower() + message[1:])


def _missing(loc: Loc, siblings: object, fields: Mapping[str, Any]) -> Mistake:
    """A key that is missing is often there with a wrong name."""
    key = str(loc[-1])
    unknown = [str(one) for one in siblings if one not in fields] if isinstance(siblings, Mapping) else []
    misspelt = nearest(key, unknown)
    if misspelt is not None:
        return Mistake((*loc[:-1], misspelt), f"the key {misspelt}, and no {key}", f"the key {key}", Rename(key))
    info = fields.get(key)
    examples = (info.examples if info is not None else None) or ()
    expected = f"the key {key}" + (f", like `{key}: {examples[0]}`" if examples else "")
    return Mistake(loc, f"no {key}", expected, Write(examples[0]) if examples else None)


def _nearest_of(value: object, accepted: list[str]) -> Write | None:
    meant = nearest(str(value), accepted)
    return Write(meant) if meant else Write(accepted[0]) if len(accepted) == 1 else None


def _as_text(value: object) -> Write | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return Write(str(value).lower())
    return Write(str(value)) if isinstance(value, int | float | str) else None


def _as_whole(value: object) -> Write | None:
    if isinstance(value, float) and value.is_integer():
        return Write(int(value))
    digits = re.fullmatch(r"\s*([0-9]{1,18})(?:\.0*)?\s*", value) if isinstance(value, str) else None
    return Write(int(digits[1])) if digits else None


def _as_truth(value: object) -> Write | None:
    word = str(value).strip().casefold()
    if word in ("yes", "on", "y", "1", "t", "true", "enabled"):
        return Write(True)
    return Write(False) if word in ("no", "off", "n", "0", "f", "false", "disabled") else None


def _as_list(value: object) -> Write | None:
    return None if value is None else Write([value])


def _as_mapping(value: object) -> Write | None:
    """Of `[{a: 1}, {b: 2}]`, `[a=1]`, `a=1` and Kubernetes' `[{name: a, value: 1}]`, make one mapping."""
    pairs: dict[str, object] = {}
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str) and "=" in part:
            name, _, text = part.partition("=")
            pairs[name.strip()] = text.strip()
        elif isinstance(part, Mapping) and set(part) == {"name", "value"}:
            pairs[str(part["name"])] = part["value"]
        elif isinstance(part, Mapping):
            pairs |= part
        else:
            return None
    return Write(pairs) if pairs else None


_MAX_SHOWN = 60  # characters: more does not fit in a line beside the rest
_LIMITS = {"ge": ("of at least", 0), "gt": ("above", 1), "le": ("of at most", 0), "lt": ("below", -1)}
_EXPECTED = (
    ("string_type", "text", _as_text),
    ("int", "a whole number", _as_whole),
    ("bool", "true or false", _as_truth),
    ("list", "a list", _as_list),
    ("tuple", "a list", _as_list),
    ("set", "a list", _as_list),
    ("dict", "a mapping of keys to values", _as_mapping),
    ("mapping", "a mapping of keys to values", _as_mapping),
    ("model", "a mapping of keys to values", _as_mapping),
)


def _place(loc: Loc, model: type[BaseModel]) -> tuple[Loc, type[BaseModel] | None]:
    """Return a place without what pydantic adds (which member of a union, `[key]`), and the model it is a field of."""
    kept: list[str | int] = []
    owner: type[BaseModel] | None = None
    expected: Any = model
    in_mapping = False
    for position, part in enumerate(loc):
        if part == "[key]" and in_mapping and position == len(loc) - 1:
            break
        owner, in_mapping = None, False
        members = _members(expected)
        if len(members) > 1:  # the part names one of them
            expected = next((one for one in members if getattr(one, "__name__", None) == part), Any)
            continue
        expected = members[0]
        origin, arguments = get_origin(expected), get_args(expected)
        kept.append(part)
        if isinstance(expected, type) and issubclass(expected, BaseModel):
            owner = expected
            field = expected.model_fields.get(str(part))
            expected = Any if field is None else field.annotation
        elif origin is dict:
            expected, in_mapping = arguments[1], True
        elif origin in (tuple, list, set, frozenset):
            expected = arguments[0]
        else:
            expected = Any
    return tuple(kept), owner


def _members(annotation: Any) -> list[Any]:
    """Return what a value may be: the members of a union, without None, which pydantic does not name in places."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return [inner for one in get_args(annotation) if one is not type(None) for inner in _members(one)]
    return [annotation]
