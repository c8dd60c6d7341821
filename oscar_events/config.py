"""The platform's own configuration, `config.yaml` in its data directory: sources, storage providers, settings.

In:  the file, files it names, variables that win over it. Out: `PlatformConfig`, secrets in no repr; without a file
the variables and defaults.
Not here: what can be set (settings.py), the names of variables (variables.py), receiving events (oscar_ingest), the
providers of one service (its own file), its secrets (secrets.py).

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
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from oscar_events.datadir import DataDirectory
from oscar_events.documents import load_text, read_document
from oscar_events.documents.tree import Document
from oscar_events.errors import ConfigurationError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.mistakes import Loc, Rename, Write, wrong
from oscar_events.notifications.keys import KeyEncoding
from oscar_events.notifications.port import FOLDER_SOURCE, Route
from oscar_events.overlay import Overlay
from oscar_events.settings import KafkaSettings, Settings, kafka_contradictions
from oscar_events.variables import given

# 16 characters of base64 are 96 bits: nobody guesses one through a socket.
MIN_TOKEN = 16
# Two, so that one can be replaced without a moment in which none is accepted (reference/reliability.md §3.3).
MAX_TOKENS = 2

# A DNS label, as names in URLs and in metrics go.
_SOURCE_NAME = re.compile(r"[a-z0-9-]{1,63}")
# Kafka's rule for the names of topics; groups may be called anything, but people write them in commands too.
_TOPIC_NAME = r"^[A-Za-z0-9._-]{1,249}$"
# RFC 6750, 2.1: what may stand after `Bearer`.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_PROVIDER = re.compile(r"[a-z0-9]+(\.[A-Za-z0-9_.-]+)?")
# What the file may say by the name of another file, and how that value is called.
_IN_FILES = {"token_files": "tokens", "access_key_file": "access_key", "secret_key_file": "secret_key"}
_SECRETS = frozenset({"tokens", "access_key", "secret_key", "session_token", "sasl_password", "url"})


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
    reading = Overlay(path, texts, _File, _SECRETS)
    if path.exists() or directory.config_is_named:
        read_document(load_text(path), str(path), reading.check, _SECRETS)
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
        kind: {name: one.settings(files, f"storage_providers.{kind}.{name}") for name, one in named.items()}
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
        if token and (problem := _token_problem(token)):
            self.problems.append(f"{where}: in {self.read[-1]} is {'; '.join(problem)}")
            return ""
        return token


def _token_problem(token: str) -> tuple[str, str] | None:
    """Return what is wrong with a token and what would be right, never repeating it; None if nothing is."""
    if token.lower().startswith("bearer "):
        return "a token with the word Bearer before it", f"the token alone, {MIN_TOKEN} characters or more"
    if not _TOKEN.fullmatch(token):
        return "a token with characters no HTTP header carries as a token", "letters, digits and -._~+/ only"
    if len(token) < MIN_TOKEN:
        return f"a token of {len(token)} characters", f"{MIN_TOKEN} or more, like `openssl rand -hex 32` prints"
    return None


def _checked_token(token: SecretStr) -> SecretStr:
    if problem := _token_problem(token.get_secret_value()):
        raise wrong(*problem)
    return token


def _checked_name(name: str) -> str:
    if name == FOLDER_SOURCE:
        raise wrong(
            f"{name!r} as the name of a source", "another name: the platform's own folders go by this", Rename("files")
        )
    if not _SOURCE_NAME.fullmatch(name):
        fitting = re.sub(r"[^a-z0-9-]+", "-", name.lower())[:63].strip("-")
        change = Rename(fitting) if fitting else None
        raise wrong(f"{name!r} as the name of a source", "1 to 63 lower-case letters, digits and '-'", change)
    return name


def _checked_provider(provider: str) -> str:
    if not _PROVIDER.fullmatch(provider):
        raise wrong(repr(provider), "a provider's id, like minio.default", Write("minio.default"))
    return provider if "." in provider else f"{provider}.default"


def _checked_directory(directory: str) -> str:
    segments = directory.removesuffix("/").split("/")
    if segments[0] or not segments[1:] or not all(one not in ("", ".", "..") for one in segments[1:]):
        raise wrong(repr(directory), "the absolute path of the watched directory, like /data/in", Write("/data/in"))
    return directory


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Source(_Block):
    type: Literal["webhook", "kafka", "minio_listen"] = "webhook"
    provider: Annotated[str, AfterValidator(_checked_provider), Field(examples=["minio.default"])]
    tokens: tuple[Annotated[SecretStr, AfterValidator(_checked_token)], ...] = ()
    token_files: tuple[str, ...] = ()
    tenant: Annotated[str, Field(min_length=1)] = DEFAULT_TENANT
    service: str | None = None
    key_encoding: Literal["auto", "form", "percent", "none"] = "auto"
    directory: Annotated[str, AfterValidator(_checked_directory)] | None = None
    topic: Annotated[str, Field(pattern=_TOPIC_NAME)] | None = None
    group: Annotated[str, Field(pattern=_TOPIC_NAME)] | None = None
    kafka: KafkaSettings | None = None

    @model_validator(mode="after")
    def _topic_or_none(self) -> Self:
        if self.type == "kafka":
            if self.topic is None:
                raise wrong("no topic", "`topic`, the name of the topic to read")
            if self.tokens or self.token_files:
                raise wrong("tokens", "none: who may write is what the broker decides, a topic's source has no token")
            for mistake in () if self.kafka is None else kafka_contradictions(self.kafka):
                raise wrong(mistake.found, mistake.expected)
        elif given := [name for name in ("topic", "group", "kafka") if getattr(self, name) is not None]:
            raise wrong(", ".join(given), "`type: kafka` beside, as only a topic's source has these", None)
        return self

    @model_validator(mode="after")
    def _listening_or_none(self) -> Self:
        if self.type == "minio_listen":
            if not self.provider.startswith("minio."):
                raise wrong(f"a {self.provider} to listen at", "one of type minio: only MinIO can be listened to")
            if self.tokens or self.token_files:
                raise wrong("tokens", "none: nobody sends to a source that listens, it asks with the provider's keys")
        return self

    @model_validator(mode="after")
    def _one_or_two_tokens(self) -> Self:
        if self.type != "webhook":
            return self
        count = len(self.tokens) + len(self.token_files)
        if not 1 <= count <= MAX_TOKENS:
            raise wrong(
                f"{count} tokens" if count else "no token",
                "`tokens` or `token_files` with one token, or two while one replaces the other",
            )
        return self


class _S3Provider(_Block):
    """Settings of an S3 store as OSCAR spells them (reference/oscar.md §1.3)."""

    endpoint: str | None = None
    region: str | None = None
    verify: bool = True
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    access_key_file: str | None = None
    secret_key_file: str | None = None

    @model_validator(mode="after")
    def _both_keys_once(self) -> Self:
        given = {}
        for key in ("access_key", "secret_key"):
            inline, file = getattr(self, key) is not None, getattr(self, f"{key}_file") is not None
            if inline and file:
                raise wrong(f"{key} and {key}_file", f"one of the two: {key}_file names the file that holds it")
            given[key] = inline or file
        if given["access_key"] != given["secret_key"]:
            missing = next(key for key, is_there in given.items() if not is_there)
            raise wrong(f"no {missing}", f"`{missing}` or `{missing}_file` beside the other key")
        return self

    def settings(self, files: _Files, where: str) -> dict[str, str | bool]:
        """Return what is set, the keys' values in place of the files that hold them."""
        found: dict[str, str | bool] = {"verify": self.verify}
        for name in ("endpoint", "region"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        for name in ("access_key", "secret_key", "session_token"):
            if (secret := getattr(self, name)) is not None:
                found[name] = secret.get_secret_value()
            elif (file := getattr(self, f"{name}_file", None)) is not None:
                found[name] = files.text(file, f"{where}.{name}_file")
        return found


class _MinioProvider(_S3Provider):
    endpoint: Annotated[str, Field(examples=["http://127.0.0.1:9000"])]

    @model_validator(mode="after")
    def _never_anonymous(self) -> Self:
        if self.access_key is None and self.access_key_file is None:
            raise wrong("neither access_key nor access_key_file", "the keys of a MinIO user")
        return self


class _Providers(_Block):
    minio: dict[str, _MinioProvider] = {}
    s3: dict[str, _S3Provider] = {}


class _File(Settings):
    sources: dict[Annotated[str, AfterValidator(_checked_name)], _Source] = Field(default_factory=dict)
    storage_providers: _Providers = _Providers()

    def places(self) -> Iterator[tuple[Loc, Loc]]:
        """Yield what the file says of sources and providers: what it is called, and where in the file it stands."""
        blocks: list[tuple[Loc, _Block]] = [(("sources", name), one) for name, one in self.sources.items()]
        for kind, named in (("minio", self.storage_providers.minio), ("s3", self.storage_providers.s3)):
            blocks += [(("storage_providers", kind, name), one) for name, one in named.items()]
        for loc, block in blocks:
            yield loc, loc
            for said in sorted(block.model_fields_set):
                yield (*loc, _IN_FILES.get(said, said)), (*loc, said)

    def holds_secrets(self, texts: Mapping[Loc, str]) -> bool:
        """Tell whether a secret stands in the file itself. texts: what variables say instead of it."""
        in_url = self.ledger is not None and self.ledger.url is not None and ("ledger", "url") not in texts
        password = None if self.kafka is None else self.kafka.sasl_password
        passwords = (one.kafka is not None and one.kafka.sasl_password is not None for one in self.sources.values())
        return (
            in_url
            or (password is not None and ("kafka", "sasl_password") not in texts)
            or any(source.tokens for source in self.sources.values())
            or any(passwords)
            or any(
                provider.access_key or provider.secret_key or provider.session_token
                for named in (self.storage_providers.minio, self.storage_providers.s3)
                for provider in named.values()
            )
        )


def _source(name: str, source: _Source, files: _Files, broker: KafkaSettings | None) -> SourceConfig:
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


def _topic(name: str, source: _Source, files: _Files, broker: KafkaSettings | None) -> SourceTopic | None:
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
