"""What the script finds in its environment, beside OSCAR's own variables.

In:  the block `environment`. Out: variables as text, secrets as text or as references to it.
Not here: setting them (the supervisor), where a secret's value is kept (secrets.py).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from oscar_events.mistakes import Rename, wrong
from oscar_events.service.block import Block, Scalar, Secret, Text


def _name(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        fitting = re.sub(r"[=\0]+", "_", name).strip("_")
        raise wrong(
            f"{name!r} as the name of a variable", "a name without '=' and NUL", Rename(fitting) if fitting else None
        )
    return name


def _value(value: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(value, str) and "\0" in value:
        raise wrong("a value with a NUL character", "text without it, which ends there for every program")
    return value


Name = Annotated[Text, AfterValidator(_name)]


class Environment(Block):
    """variables: shown to whoever may see the service. secrets: never shown; one and the same to the script."""

    variables: dict[Name, Annotated[Scalar, AfterValidator(_value)]] = Field(default_factory=dict)
    secrets: dict[Name, Annotated[Secret, AfterValidator(_value)]] = Field(default_factory=dict)
