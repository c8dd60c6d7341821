"""What a scalar without quotes means, and how a value is written so that it means itself.

In:  the characters of a plain scalar; a value. Out: its value; its text.
Not here: where scalars stand (scan.py), what a field accepts (the models).

The rule is JSON's, and nothing is lost: `true`, `false` and `null` (capitals too) are what they say, a number is one if
JSON would write it back with the same characters, and everything else is text. So `1.10`, `0755`, `1:30`, `1e3`,
`yes`, `on` and dates stay what was written, which YAML 1.1 would change. No spelling gives a number that is not finite.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress

import yaml

_WORDS: dict[str, object] = {"": None, "~": None}
for _word, _value in (("null", None), ("true", True), ("false", False)):
    _WORDS |= {_word: _value, _word.capitalize(): _value, _word.upper(): _value}

# Plain for certain, in block and in flow style, for every reader of YAML.
_SAFE = re.compile(r"(?:[A-Za-z0-9_./](?:[A-Za-z0-9_./@+-]|:(?=[A-Za-z0-9_./@+-]))*)")
_INTEGER = re.compile(r"-?[0-9]{1,40}")  # longer ones are no quantity of anything, and slow to convert
_YAML_1_1 = yaml.SafeLoader("")


def resolve(text: str) -> object:
    """Return what a plain scalar says."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if str(int(text)) == text else text
    with suppress(ValueError):
        if repr(float(text)) == text and text[-1].isdigit():  # not inf, not nan
            return float(text)
    return text


def written(value: object) -> str:
    """Return a JSON-able value on one line, in flow style if it has parts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(str(key))}: {written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str) and _means_itself(value):
        return value
    return quoted(value)


def quoted(value: object) -> str:
    """Return a value as JSON, what cannot be printed escaped as YAML reads it too."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}"


def _means_itself(text: str) -> bool:
    """Whether the text can do without quotes, for us and for readers of YAML 1.1."""
    if not _SAFE.fullmatch(text) or resolve(text) != text:
        return False
    tag: str = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag == "tag:yaml.org,2002:str" and text.casefold() not in ("y", "n")


def paired(text: str) -> str:
    """Join surrogate pairs, as which JSON spells characters beyond U+FFFF; YAML reads each half by itself."""
    if has_bytes(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def has_bytes(text: str) -> bool:
    """Whether a text can be written to a file: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
