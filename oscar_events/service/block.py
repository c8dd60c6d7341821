"""What every mapping of a service document has in common, and the plain values in it.

In:  what YAML or JSON made of the text. Out: checked values; a mistake says what would be right.
Not here: amounts (amounts.py), other spellings of keys (spelling.py), which keys there are (the blocks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator

from oscar_events.mistakes import Write, nearest, shown, wrong

# What stands in a stored document where a secret's value is kept elsewhere: {"$secret": "<id>"}.
SECRET_REFERENCE = "$secret"  # noqa: S105


class Block(BaseModel):
    """A mapping of the service document. A key without a value (`output:`) counts as absent, as in OSCAR."""

    # Input is hidden because it may be a secret, and an error that is a cause ends up in logs.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, document: object) -> object:
        if not isinstance(document, Mapping):
            return document
        return {key: value for key, value in document.items() if value is not None or key not in cls.model_fields}


def choice(*accepted: str) -> Callable[[object], str]:
    """Return a check for one of these words, in capitals or not; "" among them is shown to nobody."""

    def check(value: object) -> str:
        text = str(value).strip()
        for word in accepted:
            if word.lower() == text.lower():
                return word
        meant = nearest(text, filter(None, accepted))
        expected = f"one of {', '.join(filter(None, accepted))}"
        raise wrong(shown(value), expected, Write(meant) if meant else None)

    return check


def _utf8(value: str) -> str:
    """Half a surrogate pair, which JSON and YAML can spell, has no bytes: no key, file or variable can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong("a value that is no valid Unicode", "text without half surrogate pairs") from None
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _scalar(value: object) -> object:
    """Scalars as a shell script expects them; YAML made `true` and dates out of text."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float | date) else value


def _secret(value: object) -> str | dict[str, str]:
    """Text, or the reference that stands for it; never shown."""
    if isinstance(value, Mapping):
        identity = value.get(SECRET_REFERENCE)
        if len(value) == 1 and isinstance(identity, str):
            return {SECRET_REFERENCE: identity}
    text = _scalar(value)
    if not isinstance(text, str):
        raise wrong(f"a {type(value).__name__}", "text")
    return _utf8(text)


def _setting(value: object) -> str | bool | dict[str, str]:
    return value if isinstance(value, bool) else _secret(value)


def _trimmed(value: object) -> object:
    listed = _listed(value)
    if not isinstance(listed, list | tuple):
        return listed
    return [one for one in (each.strip() if isinstance(each, str) else each for each in listed) if one != ""]


_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_dns_label(text: str) -> bool:
    """Tell whether text is a DNS-1123 label, as names in Kubernetes are."""
    return _DNS_LABEL.fullmatch(text) is not None


def as_dns_label(text: str, longest: int = 63) -> str | None:
    """Return the label that text comes nearest to, None if nothing of it is left."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")
    return label or None


Text = Annotated[str, AfterValidator(_utf8)]
# Text that may have been written as a number, a date or true.
Scalar = Annotated[Text, BeforeValidator(_scalar)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
# Names: without spaces around them, and none that is empty.
Names = Annotated[tuple[Text, ...], BeforeValidator(_trimmed)]
Secret = Annotated[str | dict[str, str], PlainValidator(_secret)]
Setting = Annotated[str | bool | dict[str, str], PlainValidator(_setting)]
