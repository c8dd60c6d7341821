"""The command `config`: what is in force, where it was set, and the reference page of all settings.

In:  config.yaml, the environment. Out: YAML for people, JSON for scripts, Markdown; secrets in none of them.
Not here: reading the configuration (oscar_events/config.py), the page's text (settings_page.py).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oscar_events.cli.options import Data, Json, data_directory

if TYPE_CHECKING:
    from oscar_events.config import PlatformConfig, SourceConfig
    from oscar_events.mistakes import Loc

_DEFAULT = "default"
# A database's URL is worth seeing, but for its passwords, wherever they stand in it. One that should have been written
# with %-escapes may hold any character: up to the last `@`.
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/@?]*):.*(?=@)|(?<=[?&])(?P<name>\w*password)=[^&]*")


def config(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the page of all settings instead, as Markdown.")
    ] = False,
) -> None:
    """Print the configuration in force as YAML, secrets hidden, each value with where it was set.

    What variables say wins over config.yaml, which wins over the defaults.
    """
    from oscar_events.cli import output
    from oscar_events.cli.settings_page import settings_page
    from oscar_events.config import load_config

    if reference:
        sys.stdout.write(settings_page())
        return
    found = load_config(data_directory(context))
    if as_json:
        output.print_json({**in_force(found), "origins": {_path(loc): origin for loc, origin in found.origins.items()}})
    else:
        for line in lines(found):
            print(line)  # noqa: T201 - the command's answer


def in_force(found: PlatformConfig) -> dict[str, Any]:
    """Return everything that is in force as JSON values, without secrets."""
    from oscar_dispatcher.settings import cores
    from oscar_events.secrets import HIDDEN, is_secret

    providers: dict[str, dict[str, Any]] = {}
    for kind, named in found.storage_providers.items():
        for name, settings in named.items():
            shown = {key: HIDDEN if is_secret(key, value) else value for key, value in settings.items()}
            providers.setdefault(kind, {})[name] = shown
    all_settings: dict[str, Any] = {
        name: _shown(getattr(found.settings, name)) for name in type(found.settings).model_fields
    }
    all_settings["dispatcher"]["concurrency"] = found.settings.dispatcher.concurrency or cores()
    return {
        **all_settings,
        "sources": {name: _source(source) for name, source in found.sources.items()},
        "storage_providers": providers,
    }


def lines(found: PlatformConfig) -> Iterator[str]:
    """Yield the lines of the YAML, each value with its origin behind it."""
    yield from _lines(in_force(found), (), found.origins)


def _lines(values: Mapping[str, Any], above: Loc, origins: Mapping[Loc, str]) -> Iterator[str]:
    from oscar_events.documents.scalars import written

    indent = "  " * len(above)
    for name, value in values.items():
        loc = (*above, name)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{written(name)}:"
            yield from _lines(value, loc, origins)
        else:
            yield f"{indent}{written(name)}: {written(value)}  # {origins.get(loc, _DEFAULT)}"


def _source(source: SourceConfig) -> dict[str, Any]:
    from oscar_events.secrets import HIDDEN

    route = source.route
    shown: dict[str, Any] = {"provider": route.provider, "tenant": route.tenant, "service": route.service}
    if source.topic is not None:
        shown |= {"type": "kafka", "topic": source.topic.name}
    if source.listens:
        shown |= {"type": "minio_listen"}
    if source.tokens:
        shown["tokens"] = [HIDDEN] * len(source.tokens)
    return shown


def _shown(value: object) -> Any:
    from pydantic import BaseModel, SecretStr

    from oscar_events.settings import duration_text

    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    return str(value) if isinstance(value, Path) else value


def _masked(secret: str) -> str:
    from oscar_events.secrets import HIDDEN

    def hidden(found: re.Match[str]) -> str:
        return f"{found['name']}={HIDDEN}" if found["name"] else f"{found['user']}:{HIDDEN}"

    return _PASSWORD.sub(hidden, secret) if secret.startswith(("postgresql://", "postgres://")) else HIDDEN


def _path(loc: Loc) -> str:
    return ".".join(str(part) for part in loc)
