"""The platform's own configuration, `config.yaml` in its data directory: sources, storage providers, settings.

In:  the file, files it names, variables that win over it. Out: `PlatformConfig`, secrets in no repr; without a file
the variables and defaults.
Not here: what the file may say (config_file.py), what can be set (settings.py), the names of variables (variables.py),
receiving events (oscar_ingest), the providers of one service (its own file), its secrets (secrets.py).

    sources:
      minio:                         # POST /ingest/minio
        provider: minio.default      # which storage its events speak of
        tokens: [<token>]            # one, or two while one is replaced; or token_files: [path]
        service: blur                # optional: starts this one only; messages without object need it
        directory: /data/in          # dCache only: its inotify events name a file without its path
      told: {type: minio_listen, provider: minio.default}    # asks MinIO to tell; nothing to set up there
      uploads: {type: kafka, topic: minio-events, provider: minio.default}    # on the broker below, or its own `kafka`
    storage_providers:               # OSCAR's spelling; access_key_file and secret_key_file name files instead
      minio:
        default: {endpoint: "http://127.0.0.1:9000", access_key: ..., secret_key: ...}
    kafka: {bootstrap_servers: "kafka-1:9092,kafka-2:9092"}     # and the other sections of settings.py
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oscar_events.config_file import SECRETS, File, S3Provider, Source, token_problem
from oscar_events.datadir import DataDirectory
from oscar_events.documents import load_text, read_document
from oscar_events.documents.tree import Document
from oscar_events.errors import ConfigurationError
from oscar_events.mistakes import Loc
from oscar_events.notifications.keys import KeyEncoding
from oscar_events.notifications.port import Route
from oscar_events.overlay import Overlay
from oscar_events.settings import KafkaSettings, Settings
from oscar_events.variables import given


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """A topic that a source reads. name, group: as the broker has them: no prefix of ours is put before these.

    broker: where it is, without a prefix for that reason.
    """

    name: str
    group: str
    broker: KafkaSettings


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A source of events. route: what is known of its notifications.

    tokens: those a source over HTTP accepts. topic: what a source of type kafka reads; None for any other.
    listens: whether it is of type minio_listen.
    """

    route: Route
    tokens: tuple[str, ...] = field(repr=False)
    topic: SourceTopic | None = None
    listens: bool = False

    @property
    def is_pushed(self) -> bool:
        """Whether somebody sends to it; the others are read by the platform, from its start."""
        return self.topic is None and not self.listens


@dataclass(frozen=True, slots=True)
class PlatformConfig:
    """What is in force. storage_providers: type -> id -> settings, complete and with the secrets themselves.

    files: what it was read from, the file itself first; a change of one of them may change it.
    origins: where what is no default was set, for people: a line of the file, or the name of a variable.
    """

    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    storage_providers: Mapping[str, Mapping[str, Mapping[str, str | bool]]] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=Settings)
    origins: Mapping[Loc, str] = field(default_factory=dict, compare=False)

    def provider(self, identity: str) -> dict[str, str] | None:
        """Return the settings of a provider like `minio.default`, as texts, with its `type`; None if not here."""
        kind, _, name = identity.partition(".")
        settings = self.storage_providers.get(kind, {}).get(name)
        if settings is None:
            return None
        texts = {key: str(value).lower() if isinstance(value, bool) else value for key, value in settings.items()}
        return {"type": kind, **texts}

    def providers(self) -> list[str]:
        """Return the ids of all providers."""
        return [f"{kind}.{name}" for kind, named in self.storage_providers.items() for name in named]


def load_config(directory: DataDirectory, environment: Mapping[str, str] | None = None) -> PlatformConfig:
    """Return what the directory's config.yaml and the variables say; the defaults where they say nothing.

    environment: of this process unless given. Raises ConfigurationError for mistakes in either, for files it names that
    cannot be read, and if it holds secrets that others on this machine may read.
    """
    path = directory.config
    texts = given(os.environ if environment is None else environment)
    reading = Overlay(path, texts, File, SECRETS)
    if path.exists() or directory.config_is_named:
        read_document(load_text(path), str(path), reading.check, SECRETS)
    else:
        reading.check(Document(str(path), "", None))
    document = reading.result()
    if document.holds_secrets(texts) and (mode := stat.S_IMODE(path.stat().st_mode)) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{path} holds secrets and others on this machine can read it (mode {mode:04o}); run `chmod 600 {path}`"
        )
    files = _Files(path)
    sources = {name: _source(name, one, files, document.kafka) for name, one in document.sources.items()}
    providers = {
        kind: {name: _provider(one, files, f"storage_providers.{kind}.{name}") for name, one in named.items()}
        for kind, named in (("minio", document.storage_providers.minio), ("s3", document.storage_providers.s3))
        if named
    }
    for name, one in sources.items():
        if one.listens and one.route.provider.removeprefix("minio.") not in providers.get("minio", {}):
            files.problems.append(f"sources.{name}: {one.route.provider} is not defined; do so in storage_providers")
    if files.problems:
        raise ConfigurationError(f"{path}: {'; '.join(files.problems)}")
    settings = Settings.model_validate({name: getattr(document, name) for name in Settings.model_fields})
    return PlatformConfig(sources, providers, (path, *files.read), settings, reading.origins(document.places()))


class _Files:
    """Reads the files that the configuration names, relative to where it lies. problems: of all of them."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self.read: list[Path] = []
        self.problems: list[str] = []

    def text(self, name: str, where: str) -> str:
        """Return what the file says, without the line end that editors add. where: the key that names it.

        Empty where that is a problem.
        """
        path = self._config.parent / name
        self.read.append(path)
        try:
            text = path.read_text("ascii").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not plain ASCII text"
            self.problems.append(f"{where}: cannot read {path}: {why}; remedy that")
            return ""
        if not text:
            self.problems.append(f"{where}: {path} is empty; write the secret into it")
        return text

    def beside(self, broker: KafkaSettings) -> KafkaSettings:
        """Return the settings of a broker with the files they name found from where the configuration lies."""
        named = {name: value for name, value in broker if name.endswith("_file") and value is not None}
        return broker.model_copy(update={name: self._config.parent / value for name, value in named.items()})

    def token(self, name: str, where: str) -> str:
        """Return the token in the file, checked; empty where there is a problem."""
        token = self.text(name, where)
        if token and (problem := token_problem(token)):
            self.problems.append(f"{where}: in {self.read[-1]} is {'; '.join(problem)}")
            return ""
        return token


def _provider(provider: S3Provider, files: _Files, where: str) -> dict[str, str | bool]:
    """Return what is set, the keys' values in place of the files that hold them."""
    found: dict[str, str | bool] = {"verify": provider.verify}
    for name in ("endpoint", "region"):
        if (value := getattr(provider, name)) is not None:
            found[name] = value
    for name in ("access_key", "secret_key", "session_token"):
        if (secret := getattr(provider, name)) is not None:
            found[name] = secret.get_secret_value()
        elif (file := getattr(provider, f"{name}_file", None)) is not None:
            found[name] = files.text(file, f"{where}.{name}_file")
    return found


def _source(name: str, source: Source, files: _Files, broker: KafkaSettings | None) -> SourceConfig:
    """broker: the platform's own, which a topic is on if its source names no other."""
    tokens = [token.get_secret_value() for token in source.tokens]
    tokens += [files.token(file, f"sources.{name}.token_files") for file in source.token_files]
    encoding = None if source.key_encoding == "auto" else KeyEncoding(source.key_encoding)
    route = Route(
        source=name,
        provider=source.provider,
        tenant=source.tenant,
        service=source.service,
        key_encoding=encoding,
        directory=source.directory,
    )
    return SourceConfig(route, tuple(tokens), _topic(name, source, files, broker), source.type == "minio_listen")


def _topic(name: str, source: Source, files: _Files, broker: KafkaSettings | None) -> SourceTopic | None:
    if source.topic is None:
        return None
    # Two platforms that share the broker, which a prefix tells apart, both read all of the topic.
    prefix = "" if broker is None or source.kafka is not None else broker.topic_prefix
    if source.kafka is not None:
        broker = files.beside(source.kafka)
    if broker is None:
        files.problems.append(f"sources.{name}: no broker is known; set `kafka: {{bootstrap_servers: ...}}` in it")
        return None
    group = source.group or f"{prefix}oscar-ingest-{name}"
    return SourceTopic(source.topic, group, broker.model_copy(update={"topic_prefix": ""}))
