"""The commands about the ledger's database: `ledger upgrade`, `ledger check`.

In:  the configuration in force. Out: its tables made or brought up to date; what it is like, and what mends it.
Not here: what a database has to be like (ledger/postgresql_state.py), the laptop's ledger, which `up` upgrades itself.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from oscar_events.cli.exit_codes import ExitCode
from oscar_events.cli.options import Data, Json, data_directory
from oscar_events.errors import ConfigurationError

if TYPE_CHECKING:
    from oscar_events.ledger.postgresql_state import DatabaseState
    from oscar_events.settings import LedgerSettings

ledger = typer.Typer(invoke_without_command=True)


@ledger.callback()
def ledger_without_command(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Make, upgrade and check the tables of the platform in PostgreSQL. Without a command: check them."""
    if context.invoked_subcommand is None:
        check(context, data, as_json)


@ledger.command("upgrade")
def upgrade(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Make the tables, or bring those of an older version up to date; nothing if they are.

    Components that run meanwhile wait for it. It is done whole or not at all; of two at once one waits. Ends with 2 if
    the database cannot be used, which `ledger check` explains, and with 5 if it is away.
    """
    from oscar_events.cli import output

    settings = _settings(context)
    before, after = asyncio.run(_postgresql().upgrade(settings))
    if as_json:
        output.print_json({"before": before, "after": after})
    elif before == after:
        sys.stdout.write(f"the tables were up to date: migration {after}\n")
    else:
        sys.stdout.write(f"the tables are up to date: migration {before or 'none'} -> {after}\n")


@ledger.command("check")
def check(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Tell what the database is like. Ends with 0 if it can be used as it is, with 1 if not: each remedy is printed."""
    from oscar_events.cli import output

    state = asyncio.run(_postgresql().look(_settings(context)))
    if as_json:
        output.print_json(_view(state))
    else:
        _print(state)
    if state.unfit:
        raise typer.Exit(ExitCode.FAILED)


def _settings(context: typer.Context) -> LedgerSettings:
    from oscar_events.config import load_config

    settings = load_config(data_directory(context)).settings.ledger
    if settings is None:
        raise ConfigurationError(
            "no database is configured: set ledger.url in config.yaml, or OSCAR_EVENTS_LEDGER__URL, to "
            "postgresql://user:password@host:5432/database; a laptop's platform (`oscar-events up`) needs none"
        )
    return settings


def _postgresql() -> Any:
    from oscar_events.manager.cluster import clients_installed

    with clients_installed():
        from oscar_events.ledger import postgresql

    return postgresql


def _print(state: DatabaseState) -> None:
    from oscar_events.cli import output

    migration = "none" if state.migration is None else state.migration
    output.print_facts(
        [
            ("server", f"PostgreSQL {state.server}"),
            ("encoding", state.encoding),
            ("synchronous_commit", state.synchronous_commit),
            (
                "fsync",
                state.fsync if state.fsync == "on" else "off: a crash of the machine loses what was acknowledged",
            ),
            ("migration", f"{migration} (this version: {state.newest_migration})"),
        ]
    )
    rows = [[table.name, str(table.rows), f"{table.bytes / 2**20:.1f} MiB"] for table in state.tables]
    output.print_table(["TABLE", "ROWS, ABOUT", "WITH INDEXES"], rows, "No tables.")
    for reason in state.unfit:
        sys.stdout.write(f"unfit: {reason}\n")


def _view(state: DatabaseState) -> dict[str, Any]:
    return {
        "server": state.server,
        "encoding": state.encoding,
        "synchronous_commit": state.synchronous_commit,
        "fsync": state.fsync,
        "migration": state.migration,
        "newest_migration": state.newest_migration,
        "tables": [asdict(table) for table in state.tables],
        "unfit": list(state.unfit),
    }
