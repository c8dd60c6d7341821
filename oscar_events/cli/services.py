"""The commands about services: `apply` and the group `services`.

In:  service files, names. Out: what was done, tables, JSON.
Not here: what a service file may say (fdl.py, service/).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oscar_events.cli.options import Data, Json, ServiceName, data_directory
from oscar_events.cli.platform import ask

if TYPE_CHECKING:
    from oscar_events.fdl import LoadedService

services = typer.Typer(invoke_without_command=True)


@services.callback()
def services_without_command(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """List, show and delete services. Without a command: list them."""
    if context.invoked_subcommand is None:
        list_services(context, data, as_json)


def apply(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Service files.", show_default=False)],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create or update the services of the files: all of them, or none.

    Makes the directories they read from and write to. On a laptop a script runs without its image, on the machine.
    """
    from oscar_events.cli import output

    loaded = _loaded(files)
    documents = [one.service.document() for one in loaded]
    remarks = {one.service.name: list(one.warnings) for one in loaded}
    applied = ask(data_directory(context), lambda platform: platform.apply(documents, remarks), create=True)
    for one, done in zip(loaded, applied, strict=True):
        done["warnings"] = [*one.warnings, *done["warnings"]]
    if as_json:
        output.print_json(applied)
        return
    console, aside = output.console(), output.console(stderr=True)
    for one, done in zip(loaded, applied, strict=True):
        console.print(f"service {done['name']} {done['change']}, revision {done['revision']}")
        for warning in done["warnings"]:
            place = "" if warning in one.warnings else f"{done['name']}: "  # those of the file tell line and field
            aside.print(f"  warning: {place}{warning}", style="yellow", soft_wrap=True)


def _loaded(files: Iterable[Path]) -> list[LoadedService]:
    """Return the services of all files. Raises ServiceError, which tells what is wrong with each of them."""
    from oscar_events.errors import ServiceError
    from oscar_events.fdl import load_service_file

    loaded: dict[str, LoadedService] = {}
    mistakes: list[ServiceError] = []
    for file in files:
        try:
            for one in load_service_file(file):
                first = loaded.setdefault(one.service.name, one)
                if first is not one:
                    found = f"found {one.service.name}, which is also the name of {first.where}"
                    mistakes.append(ServiceError(f"{one.where}.name", found, "write a name of its own"))
        except ServiceError as error:
            mistakes.append(error)
    if len(mistakes) > 1:
        report = "\n".join(error.report or f"error: {error}" for error in mistakes)
        raise ServiceError(mistakes[0].where, mistakes[0].what, mistakes[0].fix, report)
    if mistakes:
        raise mistakes[0]
    return list(loaded.values())


@services.command("list")
def list_services(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """List the services."""
    from oscar_events.cli import output

    found = ask(data_directory(context), lambda platform: platform.services())
    if as_json:
        output.print_json(found)
        return
    rows = [
        [one["name"], str(one["revision"]), _paths(one["input"]), _paths(one["output"]), one["image"]] for one in found
    ]
    output.print_table(
        ["SERVICE", "REVISION", "INPUT", "OUTPUT", "IMAGE"], rows, "No services; `apply` a service file."
    )


@services.command("show")
def show_service(context: typer.Context, name: ServiceName, data: Data = None, as_json: Json = False) -> None:
    """Show one service, its script included."""
    from oscar_events.cli import output
    from oscar_events.service.amounts import lasting

    service = ask(data_directory(context), lambda platform: platform.service(name))
    if as_json:
        output.print_json(service)
        return
    definition: dict[str, Any] = service["definition"]
    dispatch = definition["dispatch"]
    providers = [f"{kind}.{name}" for kind, named in definition["storage_providers"].items() for name in named]
    output.print_facts(
        [
            ("service", service["name"]),
            ("revision", str(service["revision"])),
            ("applied", output.moment(service["updated_at"])),
            ("image", service["image"]),
            ("input", _paths(service["input"])),
            ("output", _paths(service["output"])),
            ("storage", ", ".join(providers)),
            ("variables", ", ".join(definition["environment"]["variables"])),
            ("secrets", ", ".join(definition["environment"]["secrets"])),
            ("starts on", ", ".join(dispatch["event_types"])),
            ("filters", _filters(dispatch["filters"])),
            ("timeout", lasting(dispatch["timeout"])),
            ("attempts", _attempts(dispatch["retry"])),
            ("expire", "" if dispatch["expire"] is None else lasting(dispatch["expire"])),
            ("concurrency", str(dispatch["concurrency"] or "")),
            ("warnings", "\n".join(service["warnings"])),
        ]
    )
    output.console().print(f"\n{definition['script'].rstrip()}", soft_wrap=True)


@services.command("delete")
def delete_service(
    context: typer.Context,
    name: ServiceName,
    kill: Annotated[bool, typer.Option("--kill", help="Stop its running runs too.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Delete a service: its waiting runs are cancelled, running ones finish unless --kill is given."""
    from oscar_events.cli import output

    ended = ask(data_directory(context), lambda platform: platform.delete_service(name, kill=kill))
    if as_json:
        output.print_json(ended)
    else:
        output.console().print(f"service {name} deleted; runs cancelled: {len(ended['cancelled'])}")
        if running := ended["running"]:
            ids = " ".join(running)
            output.console().print(f"still running: {ids}; oscar-events runs cancel RUN ends one", soft_wrap=True)


def _attempts(retry: dict[str, Any]) -> str:
    from oscar_events.service.amounts import lasting

    first = f", the second after {lasting(retry['backoff'])}" if retry["max_attempts"] > 1 else ""
    return f"{retry['max_attempts']}{first}; when it is nobody's fault, for {lasting(retry['max_age'])}"


def _filters(filters: dict[str, Any]) -> str:
    named = [f"{name} {' or '.join(filters[name])}" for name in ("prefix", "suffix", "glob") if filters[name]]
    sizes = [f"{bound} {size} bytes" for bound, size in filters["size"].items() if size is not None]
    return ", ".join([*named, *sizes])


def _paths(places: list[dict[str, str]]) -> str:
    return ", ".join(f"{place['storage_provider']}:{place['path']}" for place in places)
