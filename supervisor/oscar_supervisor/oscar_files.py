"""A service as OSCAR puts it into a container: two files, or two variables.

In:  the root of the paths (`/`), the environment. Out: `ServiceFacts`.
Not here: what the configuration means (service_facts.py), credentials (credentials.py).

Which wins, as in OSCAR: the file `/oscar/config/function_config.yaml` over the variable FUNCTION_CONFIG, the variable
SCRIPT over the file `/oscar/config/script.sh`, LOG_LEVEL and EXECUTION_MODE over the keys of the same name. Changed on
purpose: what is no base64 or no YAML is an error that says so; OSCAR goes on without it or shows a traceback.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from oscar_events.errors import ConfigurationError
from oscar_supervisor.service_facts import ServiceFacts, facts_of

CONFIG_FILE = "oscar/config/function_config.yaml"
SCRIPT_FILE = "oscar/config/script.sh"
CONFIG_VARIABLE = "FUNCTION_CONFIG"
SCRIPT_VARIABLE = "SCRIPT"
_NAME_VARIABLE = "OSCAR_SERVICE_NAME"
# A ConfigMap, where OSCAR keeps both, holds so much.
_MAX_BYTES = 1024 * 1024
# A service nests 6 levels. The parser in C ends the whole process at some 100,000 (tried: PyYAML 6.0).
_MAX_DEPTH = 32
# OSCAR writes none. Merging aliases multiplies: 32 of them, two to three in each merge, make 100,000 entries in 0.1 s,
# 96 would not end.
_MAX_ALIASES = 32
# What PyYAML raises for a tag on a value that is none of its kind, like `!!timestamp x`, `!!float _` and `!!bool x`.
_TAGGED_WRONGLY = (ValueError, AttributeError, LookupError, TypeError, OverflowError)


def read_oscar_service(root: Path, environment: Mapping[str, str]) -> ServiceFacts:
    """Return the service of this container; without any configuration one that has no inputs and outputs.

    Raises ConfigurationError naming file or variable.
    """
    document, where = _document(root / CONFIG_FILE, environment)
    name = environment.get(_NAME_VARIABLE) or "service"
    facts = facts_of(document, where, name, _script(root / SCRIPT_FILE, environment))
    return replace(
        facts,
        log_level=environment.get("LOG_LEVEL") or facts.log_level,
        execution_mode=environment.get("EXECUTION_MODE") or facts.execution_mode,
    )


def read_script(path: Path) -> str | None:
    """Return the script in a file, None if there is no such file; bytes that are no UTF-8 survive `os.fsencode`."""
    data = _read(path)
    return None if data is None else _as_script(data)


def _script(path: Path, environment: Mapping[str, str]) -> str | None:
    if encoded := environment.get(SCRIPT_VARIABLE):
        return _as_script(_from_base64(encoded, SCRIPT_VARIABLE))
    return read_script(path)


def _as_script(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _document(path: Path, environment: Mapping[str, str]) -> tuple[Mapping[str, Any], str]:
    where = str(path)
    data = _read(path)
    if data is None and (encoded := environment.get(CONFIG_VARIABLE)):
        where, data = CONFIG_VARIABLE, _from_base64(encoded, CONFIG_VARIABLE)
    document = _parse(data or b"", where)
    if document is None:
        return {}, where
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: is no mapping of keys to values, as a service of OSCAR is")
    return document, where


def _parse(data: bytes, where: str) -> Any:
    if data[:1] == b"{":
        try:
            return msgspec.json.decode(data)  # saves what PyYAML costs to import
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong is said below; and YAML has a `{...}` of its own, in which names need no quotes
    if not data.strip():
        return None
    import yaml

    # The parser in C where PyYAML has it: ten times as fast. A safe loader either way: nothing but plain data.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = aliases = 0
        for event in yaml.parse(data, Loader=loader):
            aliases += isinstance(event, yaml.AliasEvent)
            if aliases > _MAX_ALIASES:
                raise ConfigurationError(f"{where}: has more than {_MAX_ALIASES} aliases")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ConfigurationError(f"{where}: is nested more than {_MAX_DEPTH} levels deep")
        return yaml.load(data, Loader=loader)  # noqa: S506 a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{where}{line}: is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, *_TAGGED_WRONGLY) as error:
        raise ConfigurationError(
            f"{where}: is no YAML: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error


def _from_base64(encoded: str, variable: str) -> bytes:
    try:
        # Lines, as the tool `base64` makes them, are no mistake.
        return binascii.a2b_base64("".join(encoded.split()), strict_mode=True)
    except ValueError as error:  # binascii.Error, or a character that is not ASCII
        raise ConfigurationError(f"the variable {variable} is no base64: {error}") from error


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigurationError(f"{path} is larger than {_MAX_BYTES} bytes, the most a ConfigMap holds")
    return data
