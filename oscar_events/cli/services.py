"""The commands about services: `apply` and the group `services`.

In:  service files, names. Out: what was done, tables, JSON.
Not here: what a service file may say (fdl.py, service.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from oscar_events.cli.options import Data, Json, ServiceName, data_directory
from oscar_events.cli.platform import ask

services = typer.Typer(no_args_is_help=True)


@services.callback()
def services_group(data: Data = None) -> None:
    """List, show and delete services."""


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
    from oscar_events.errors import ServiceError
    from oscar_events.fdl import load_service_file

    loaded = [one for file in files for one in load_service_file(file)]
    names = [one.service.name for one in loaded]
    for one in loaded:
        if names.count(one.service.name) > 1:
            what = f"{one.service.name!r} is in these files more than once"
            raise ServiceError(f"{one.where}.name", what, "give each service its own name")
    documents = [one.service.document() for one in loaded]
    applied = ask(data_directory(context), lambda platform: platform.apply(documents), create=True)
    for one, done in zip(loaded, applied, strict=True):
        done["warnings"] = [*one.warnings, *done["warnings"]]
    if as_json:
        output.print_json(applied)
        return
    console, remarks = output.console(), output.console(stderr=True)
    for done in applied:
        console.print(f"service {done['name']} {done['change']}, revision {done['revision']}")
        for warning in done["warnings"]:
            remarks.print(f"  warning: {warning}", style="yellow", soft_wrap=True)


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

    service = ask(data_directory(context), lambda platform: platform.service(name))
    if as_json:
        output.print_json(service)
        return
    definition: dict[str, Any] = service["definition"]
    output.print_facts(
        [
            ("service", service["name"]),
            ("revision", str(service["revision"])),
            ("applied", output.moment(service["updated_at"])),
            ("image", service["image"]),
            ("input", _paths(service["input"])),
            ("output", _paths(service["output"])),
            ("variables", ", ".join(definition["environment"]["variables"])),
            ("timeout", f"{definition['dispatch']['timeout']} s"),
            ("attempts", str(definition["dispatch"]["retry"]["max_attempts"])),
            ("concurrency", str(definition["dispatch"]["concurrency"] or "")),
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


def _paths(places: list[dict[str, str]]) -> str:
    return ", ".join(f"{place['storage_provider']}:{place['path']}" for place in places)
