"""Settings in variables: `OSCAR_EVENTS_<SECTION>__<FIELD>`, as containers are given theirs.

In:  the process's environment. Out: texts by their place in the settings; mistakes told by the name of the variable.
Not here: what they mean (settings.py), the file they win over (config.py).

What begins with the prefix and is no setting is refused: a misspelt one would leave a default in force unnoticed. Not
refused are the variables that the platform itself makes or other parts read, and those Kubernetes makes for a Service
whose name begins with `oscar-events`. An empty one is none, as composed files write `${SOMETHING:-}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from oscar_events.errors import ConfigurationError
from oscar_events.mistakes import Loc, Mistake, Write, nearest
from oscar_events.settings import Settings

PREFIX = "OSCAR_EVENTS_"
# The command line's own (cli/options.py), and what a worker tells its script (holder.py, oscar_supervisor).
_OTHERS = frozenset({f"{PREFIX}{name}" for name in ("DATA", "CONFIG", "EXECUTION", "ATTEMPT")})
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(r"(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_[0-9]+_[A-Z]+(_(PROTO|PORT|ADDR))?)?)$")


def variable(loc: Loc) -> str:
    """Return the name of the variable for a place in the settings."""
    return PREFIX + "__".join(str(part) for part in loc).upper()


def fields(model: type[BaseModel] = Settings, above: Loc = ()) -> Iterator[Loc]:
    """Yield the places of all single settings, in the order in which they are written down."""
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            yield (*above, name)
        else:
            yield from fields(section, (*above, name))


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field of the settings is, None for a single setting."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((one for one in members if isinstance(one, type) and issubclass(one, BaseModel)), None)


def given(environment: Mapping[str, str]) -> dict[Loc, str]:
    """Return what the variables say, by place. Raises ConfigurationError for one that is no setting."""
    names = {variable(loc): loc for loc in fields()}
    found, unknown = {}, []
    for name, text in sorted(environment.items()):
        if name in names and text:
            found[names[name]] = text
        elif name.startswith(PREFIX) and name not in names | dict.fromkeys(_OTHERS) and not _OF_KUBERNETES.search(name):
            unknown.append(name)
    if unknown:
        raise ConfigurationError("; ".join(_unknown(name, names) for name in unknown))
    return found


def _unknown(name: str, names: Iterable[str]) -> str:
    meant = nearest(name, [*names, *_OTHERS])
    fix = f"rename it to {meant}" if meant else "unset it; `oscar-events config --reference` lists those there are"
    return f"the variable {name} is no setting; {fix}"


def told(mistakes: Iterable[Mistake]) -> str:
    """Return what is said of mistakes that lie with variables."""
    return "; ".join(_told(mistake) for mistake in mistakes)


def _told(mistake: Mistake) -> str:
    is_single = mistake.loc in set(fields())
    where = f"the variable {variable(mistake.loc)}" if is_single else f"the variables {variable(mistake.loc)}__..."
    meant = str(mistake.change.value) if isinstance(mistake.change, Write) else ""
    fix = f", like {meant}" if meant and meant not in mistake.expected else ""
    return f"{where}: found {mistake.found}; expected {mistake.expected}{fix}"
