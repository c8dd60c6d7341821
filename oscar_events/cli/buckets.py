"""The commands about MinIO's buckets: have what happens in them told, or no more; list what is told to whom.

In:  buckets, a provider of config.yaml, targets the server knows. Out: tables or JSON of the rules and what became of
them; the variables to start MinIO with.
Not here: rules (manager/watching.py), targets (manager/minio_targets.py), receiving events (oscar_ingest).
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oscar_events.cli.options import Data, Json, data_directory
from oscar_events.cli.steps import DryRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oscar_events.cli.platform import Platform
    from oscar_events.config import PlatformConfig
    from oscar_events.datadir import DataDirectory
    from oscar_events.manager.minio_targets import Receiver
    from oscar_events.manager.watching import Change
    from oscar_events.matching import Folder

buckets = typer.Typer(invoke_without_command=True)

_DEFAULT_PROVIDER = "minio.default"

Buckets = Annotated[list[str] | None, typer.Argument(metavar="BUCKET...", help="Their names.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every bucket that services take inputs from.")]
Provider = Annotated[str, typer.Option("--provider", help="The store, as config.yaml names it.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="ARN",
        help="Whom to tell, like arn:minio:sqs::NAME:webhook; may be repeated. Default: what --print-config sets up.",
        show_default=False,
    ),
]


@buckets.callback()
def buckets_without_command(
    context: typer.Context, data: Data = None, as_json: Json = False, provider: Provider = _DEFAULT_PROVIDER
) -> None:
    """Have MinIO tell what happens in buckets, without restarting it. Without a command: list what is told."""
    if context.invoked_subcommand is None:
        list_buckets(context, data, as_json, provider)


@buckets.command("list")
def list_buckets(
    context: typer.Context, data: Data = None, as_json: Json = False, provider: Provider = _DEFAULT_PROVIDER
) -> None:
    """List the notifications of all buckets: who is told of what, and which of them are ours."""
    from oscar_events.cli import output
    from oscar_events.manager.watching import view, watching

    settings = _settings(_config(data_directory(context)), provider)

    async def listing() -> list[dict[str, Any]]:
        async with watching(settings) as store:
            return [view(bucket, rule) for bucket in await store.buckets() for rule in await store.rules(bucket)]

    found = asyncio.run(listing())
    if as_json:
        output.print_json(found)
        return
    rows = [_row(rule) for rule in found]
    output.print_table(_COLUMNS, rows, "Nothing is told of any bucket; `buckets watch` changes that.")


@buckets.command()
def watch(
    context: typer.Context,
    names: Buckets = None,
    every: All = False,
    data: Data = None,
    as_json: Json = False,
    provider: Provider = _DEFAULT_PROVIDER,
    targets: Targets = None,
    whole: Annotated[bool, typer.Option("--whole", help="Tell of the whole bucket, not only of inputs.")] = False,
    dry_run: DryRun = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the variables to start MinIO with, and change nothing.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help="With --print-config: where MinIO reaches the platform, http://HOST:PORT. Default: the one that runs.",
            show_default=False,
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="With --print-config: the source to send to; a second one is the durable target's. "
            "Default: the only one of this provider.",
            show_default=False,
        ),
    ] = None,
    token_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--token-file",
            help="With --print-config: the file on MinIO's machine that holds the source's token; once per --source.",
            show_default=False,
        ),
    ] = None,
    queue_directory: Annotated[
        str, typer.Option("--queue-dir", help="With --print-config: where MinIO keeps what is not answered yet.")
    ] = "/var/lib/minio/oscar-events",
) -> None:
    """Have MinIO tell what happens in buckets: by default in the folders that services take inputs from.

    The server is not restarted, nobody else's rules are touched, and done twice it is nothing. Run it again after
    services with other inputs were applied.
    """
    directory = data_directory(context)
    config = _config(directory)
    if print_config:
        typer.echo(
            _variables(directory, config, provider, url, sources or [], token_files or [], queue_directory), nl=False
        )
        return
    _check_choice(names, every)
    settings = _settings(config, provider)
    wanted = _wanted(directory, config, provider, names or [], every, whole)
    changes = asyncio.run(_change(settings, wanted, targets or [], dry_run))
    _tell(changes, as_json, dry_run)


@buckets.command()
def unwatch(
    context: typer.Context,
    names: Buckets = None,
    every: Annotated[bool, typer.Option("--all", help="Every bucket of the store.")] = False,
    data: Data = None,
    as_json: Json = False,
    provider: Provider = _DEFAULT_PROVIDER,
    targets: Targets = None,
    dry_run: DryRun = False,
) -> None:
    """Take back what `watch` did in buckets, for the same targets; others' rules stay."""
    _check_choice(names, every)
    settings = _settings(_config(data_directory(context)), provider)
    wanted: dict[str, Sequence[Folder]] | None = None if every else dict.fromkeys(names or [], ())
    changes = asyncio.run(_change(settings, wanted, targets or [], dry_run))
    _tell(changes, as_json, dry_run)


async def _change(
    settings: dict[str, str], wanted: dict[str, Sequence[Folder]] | None, targets: list[str], dry_run: bool
) -> list[Change]:
    """Carry out what is wanted, or only find out what that would be. wanted: None takes away in every bucket."""
    from oscar_events.manager.minio_targets import target_arns
    from oscar_events.manager.watching import change, wanted_rules, watching
    from oscar_events.minio_client import known_targets

    arns = targets or target_arns(await known_targets(settings))
    changes = []
    async with watching(settings) as store:
        if wanted is None:
            wanted = dict.fromkeys(await store.buckets(), ())
        for bucket, folders in wanted.items():
            planned = change(bucket, await store.rules(bucket), wanted_rules(folders, arns), arns)
            if not dry_run:
                await store.carry_out(planned)
            changes.append(planned)
    return changes


def _wanted(
    directory: DataDirectory,
    config: PlatformConfig,
    provider: str,
    names: Sequence[str],
    every: bool,
    whole: bool,
) -> dict[str, Sequence[Folder]]:
    """Return per bucket the folders to tell of. Raises NotFoundError if services take no input from any."""
    from oscar_events.cli.platform import ask
    from oscar_events.errors import NotFoundError
    from oscar_events.event import Action
    from oscar_events.manager.laptop import laptop_aliases
    from oscar_events.matching import Folder, folders_of
    from oscar_events.service import StorageIO

    async def inputs(platform: Platform) -> list[tuple[StorageIO, list[str]]]:
        found = await platform.services()
        return [(StorageIO(**place), one["event_types"]) for one in found for place in one["input"]]

    created = frozenset({Action.CREATED})
    if whole and not every:
        return {name: (Folder("", created),) for name in names}
    folders = folders_of(ask(directory, inputs), provider, laptop_aliases(config))
    if every and not folders:
        raise NotFoundError(f"no service takes inputs from {provider}; name buckets instead of --all")
    if every:
        names = list(folders)
    if whole:
        actions = {name: created.union(*(one.actions for one in folders.get(name, ()))) for name in names}
        return {name: (Folder("", actions[name]),) for name in names}
    return {name: folders.get(name) or (Folder("", created),) for name in names}


def _variables(
    directory: DataDirectory,
    config: PlatformConfig,
    provider: str,
    url: str | None,
    sources: Sequence[str],
    token_files: Sequence[Path],
    queue_directory: str,
) -> str:
    from oscar_events.errors import ConfigurationError, UnavailableError
    from oscar_events.manager.minio_targets import server_variables

    if url is None:
        up = directory.read_up()
        if up is None:
            raise UnavailableError("no platform runs here; say with --url where MinIO will reach it, http://HOST:PORT")
        url = f"http://127.0.0.1:{up.port}"
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--url is {url!r}; where MinIO reaches the platform, like http://10.0.0.5:8600")
    names = list(sources) or _sources(config, provider)
    if not 1 <= len(names) <= 2 or len(names) != len(token_files):
        raise ConfigurationError(
            f"--source {' --source '.join(names)} and {len(token_files)} --token-file; give one of both, or two: "
            "a file on MinIO's machine with the token alone in it for each source"
        )
    receivers = [_receiver(config, provider, url, *one) for one in zip(names, token_files, strict=True)]
    return server_variables(receivers[0], receivers[-1], queue_directory)


def _sources(config: PlatformConfig, provider: str) -> list[str]:
    """Return the name of the only source that MinIO could send to. Raises ConfigurationError for none or several."""
    from oscar_events.errors import ConfigurationError

    found = [name for name, one in config.sources.items() if one.route.provider == provider and one.tokens]
    if len(found) != 1:
        several = f"{', '.join(found)} are; choose with --source" if found else "none is"
        raise ConfigurationError(
            f"a source over HTTP with `provider: {provider}` in config.yaml is what MinIO sends to: {several}"
        )
    return found


def _receiver(config: PlatformConfig, provider: str, url: str, source: str, token_file: Path) -> Receiver:
    from oscar_events.errors import ConfigurationError, NotFoundError
    from oscar_events.manager.minio_targets import Receiver

    configured = config.sources.get(source)
    if configured is None or not configured.tokens:
        raise NotFoundError(f"config.yaml has no source {source!r} over HTTP")
    if configured.route.provider != provider:
        raise ConfigurationError(f"source {source} speaks of {configured.route.provider}, not of {provider}")
    if token_file.is_file() and token_file.read_text(errors="replace").strip() not in configured.tokens:
        raise ConfigurationError(f"{token_file} does not hold a token of source {source}; MinIO would be refused")
    return Receiver(f"{url.rstrip('/')}/ingest/{source}", str(token_file))


def _config(directory: DataDirectory) -> PlatformConfig:
    from oscar_events.config import load_config

    return load_config(directory)


def _settings(config: PlatformConfig, provider: str) -> dict[str, str]:
    from oscar_events.errors import ConfigurationError

    if find_spec("miniopy_async") is None:
        raise ConfigurationError(
            'asking MinIO needs miniopy-async, which is not installed; run: pip install "oscar-events[minio]"'
        )
    settings = config.provider(provider)
    if settings is None or settings["type"] != "minio":
        defined = ", ".join(one for one in config.providers() if one.startswith("minio.")) or "none"
        raise ConfigurationError(
            f"{provider} is no MinIO that config.yaml defines under `storage_providers` (there: {defined}); define it, "
            "or choose with --provider"
        )
    return settings


def _check_choice(names: list[str] | None, every: bool) -> None:
    if names and every:
        raise typer.BadParameter("either name buckets or say --all, not both")
    if not names and not every:
        raise typer.BadParameter("no bucket is named; name some, or say --all")


_COLUMNS = ["BUCKET", "KEYS", "EVENTS", "TARGET", "OURS"]


def _row(rule: dict[str, Any]) -> list[str]:
    events = ", ".join(name.removeprefix("s3:") for name in rule["events"])
    keys = f"{rule['prefix']}*{rule['suffix']}"
    return [rule["bucket"], keys, events, rule["target"], "yes" if rule["ours"] else ""]


def _tell(changes: Sequence[Change], as_json: bool, dry_run: bool) -> None:
    from oscar_events.cli import output

    views = [line for change in changes for line in change.view()]
    if as_json:
        output.print_json(views)
        return
    done = {"added": "to add", "removed": "to remove"} if dry_run else {}
    rows = [[done.get(line["change"], line["change"]), *_row(line)[:-1]] for line in views]
    output.print_table(["", *_COLUMNS[:-1]], rows, "Nothing of ours is told of there.")
