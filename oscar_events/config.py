"""The platform's own configuration, `config.yaml` in its data directory: sources, and storage providers for all.

In:  the file, and files it names. Out: `PlatformConfig`, secrets in it resolved and in no repr; no file, no settings.
Not here: receiving events (oscar_ingest), the providers of one service (its own file), its secrets (secrets.py).

    sources:
      minio:                         # POST /ingest/minio
        provider: minio.default      # which storage its events speak of
        tokens: [<token>]            # one, or two while one is replaced; or token_files: [path]
        service: blur                # optional: starts this one only; messages without object need it
        directory: /data/in          # dCache only: its inotify events name a file without its path
    storage_providers:               # OSCAR's spelling; access_key_file and secret_key_file name files instead
      minio:
        default: {endpoint: "http://127.0.0.1:9000", access_key: ..., secret_key: ...}
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from oscar_events.datadir import DataDirectory
from oscar_events.documents import load_model
from oscar_events.errors import ConfigurationError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.mistakes import Rename, Write, wrong
from oscar_events.notifications.keys import KeyEncoding
from oscar_events.notifications.port import FOLDER_SOURCE, Route

# 16 characters of base64 are 96 bits: nobody guesses one through a socket.
MIN_TOKEN = 16
# Two, so that one can be replaced without a moment in which none is accepted (reference/reliability.md §3.3).
MAX_TOKENS = 2

# A DNS label, as names in URLs and in metrics go.
_SOURCE_NAME = re.compile(r"[a-z0-9-]{1,63}")
# RFC 6750, 2.1: what may stand after `Bearer`.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_PROVIDER = re.compile(r"[a-z0-9]+(\.[A-Za-z0-9_.-]+)?")
_SECRETS = frozenset({"tokens", "access_key", "secret_key", "session_token"})


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A source of events over HTTP. route: what is known of its notifications; tokens: those it accepts."""

    route: Route
    tokens: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlatformConfig:
    """What the file says. storage_providers: type -> id -> settings, complete and with the secrets themselves.

    files: what it was read from, the file itself first; a change of one of them may change it.
    """

    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    storage_providers: Mapping[str, Mapping[str, Mapping[str, str | bool]]] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()

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


def load_config(directory: DataDirectory) -> PlatformConfig:
    """Return what the directory's config.yaml says; nothing if there is none.

    Raises ConfigurationError for mistakes in it, for files it names that cannot be read, and if it holds secrets that
    others on this machine may read.
    """
    path = directory.config
    if not path.exists():
        return PlatformConfig(files=(path,))
    document = load_model(path, _File, _SECRETS)
    if document.holds_secrets() and (mode := stat.S_IMODE(path.stat().st_mode)) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{path} holds secrets and others on this machine can read it (mode {mode:04o}); run `chmod 600 {path}`"
        )
    files = _Files(path)
    sources = {name: _source(name, one, files) for name, one in document.sources.items()}
    providers = {
        kind: {name: one.settings(files, f"storage_providers.{kind}.{name}") for name, one in named.items()}
        for kind, named in (("minio", document.storage_providers.minio), ("s3", document.storage_providers.s3))
        if named
    }
    if files.problems:
        raise ConfigurationError(f"{path}: {'; '.join(files.problems)}")
    return PlatformConfig(sources, providers, (path, *files.read))


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
    type: Literal["webhook"] = "webhook"
    provider: Annotated[str, AfterValidator(_checked_provider), Field(examples=["minio.default"])]
    tokens: tuple[Annotated[SecretStr, AfterValidator(_checked_token)], ...] = ()
    token_files: tuple[str, ...] = ()
    tenant: Annotated[str, Field(min_length=1)] = DEFAULT_TENANT
    service: str | None = None
    key_encoding: Literal["auto", "form", "percent", "none"] = "auto"
    directory: Annotated[str, AfterValidator(_checked_directory)] | None = None

    @model_validator(mode="after")
    def _one_or_two_tokens(self) -> Self:
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


class _File(_Block):
    sources: dict[Annotated[str, AfterValidator(_checked_name)], _Source] = {}
    storage_providers: _Providers = _Providers()

    def holds_secrets(self) -> bool:
        """Tell whether a secret stands in the file itself."""
        return any(source.tokens for source in self.sources.values()) or any(
            provider.access_key or provider.secret_key or provider.session_token
            for named in (self.storage_providers.minio, self.storage_providers.s3)
            for provider in named.values()
        )


def _source(name: str, source: _Source, files: _Files) -> SourceConfig:
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
    return SourceConfig(route, tuple(tokens))
