"""config.yaml: what it may say, what comes out, and that a mistake in it is told with its place and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.notifications.keys import KeyEncoding
from oscar_events.notifications.port import Route

TOKEN = "canary-0123456789abcdef"
SECOND = "second-0123456789abcdef"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


def write(directory: DataDirectory, text: str, mode: int = 0o600) -> None:
    directory.config.write_text(text)
    directory.config.chmod(mode)


def test_no_file_and_an_empty_one_configure_nothing(directory: DataDirectory) -> None:
    assert load_config(directory) == PlatformConfig(files=(directory.config,))
    write(directory, "# nothing yet\n", 0o644)
    assert load_config(directory) == PlatformConfig(files=(directory.config,))


def test_a_source_is_its_route_and_its_tokens(directory: DataDirectory) -> None:
    write(
        directory,
        f"""
sources:
  minio:
    type: webhook
    provider: minio
    tokens: [{TOKEN}, {SECOND}]
  nifi-1: {{provider: local.default, tokens: [{TOKEN}], tenant: lab, service: blur, key_encoding: percent}}
""",
    )
    sources = load_config(directory).sources
    assert sources["minio"].tokens == (TOKEN, SECOND)
    assert sources["minio"].route == Route(source="minio", provider="minio.default")
    assert sources["nifi-1"].route == Route(
        source="nifi-1", provider="local.default", tenant="lab", service="blur", key_encoding=KeyEncoding.PERCENT
    )


def test_a_source_may_name_the_directory_whose_files_are_told_without_their_path(directory: DataDirectory) -> None:
    source = f"dcache: {{provider: webdav.dcache, tokens: [{TOKEN}], directory: /data/in/}}"
    write(directory, f"sources: {{{source}}}")
    assert load_config(directory).sources["dcache"].route.directory == "/data/in/"


def test_providers_are_flat_texts_with_their_type(directory: DataDirectory) -> None:
    write(
        directory,
        """
storage_providers:
  minio:
    default: {endpoint: "http://127.0.0.1:9000", access_key: me, secret_key: mine, region: us-east-1, verify: false}
  s3:
    ambient: {}
""",
    )
    config = load_config(directory)
    assert config.provider("minio.default") == {
        "type": "minio",
        "endpoint": "http://127.0.0.1:9000",
        "access_key": "me",
        "secret_key": "mine",
        "region": "us-east-1",
        "verify": "false",
    }
    assert config.provider("s3.ambient") == {"type": "s3", "verify": "true"}
    assert config.provider("minio.other") is None
    assert config.providers() == ["minio.default", "s3.ambient"]


def test_secrets_may_be_in_files_beside_it_and_then_anybody_may_read_it(directory: DataDirectory) -> None:
    (directory.path / "token").write_text(f"{TOKEN}\n")
    (directory.path / "key").write_text("me\r\n")
    (directory.path / "secret").write_text("mine")
    write(
        directory,
        """
sources:
  minio: {provider: minio.default, token_files: [token]}
storage_providers:
  minio:
    default: {endpoint: "http://127.0.0.1:9000", access_key_file: key, secret_key_file: secret}
""",
        0o644,
    )
    config = load_config(directory)
    assert config.sources["minio"].tokens == (TOKEN,)
    provider = config.provider("minio.default") or {}
    assert (provider["access_key"], provider["secret_key"]) == ("me", "mine")
    assert [file.name for file in config.files] == ["config.yaml", "token", "key", "secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_with_secrets_that_others_can_read_is_refused_with_the_remedy(
    directory: DataDirectory, mode: int
) -> None:
    write(directory, f"sources: {{minio: {{provider: minio, tokens: [{TOKEN}]}}}}", mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {directory.config}"):
        load_config(directory)


def test_no_repr_shows_a_secret(directory: DataDirectory) -> None:
    write(
        directory,
        f"""
sources: {{minio: {{provider: minio, tokens: [{TOKEN}]}}}}
storage_providers: {{minio: {{default: {{endpoint: "http://x", access_key: canary, secret_key: canary}}}}}}
""",
    )
    config = load_config(directory)
    assert "canary" not in repr(config)
    assert "canary" not in repr(config.sources["minio"])


MINIO = "provider: minio.default"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("surces: {}", "surces", ""),
        ("sources: []", "sources", ""),
        (f"sources: {{Mi.nio: {{{MINIO}, tokens: [{TOKEN}]}}}}", "sources", "lower-case"),
        (f"sources: {{folder: {{{MINIO}, tokens: [{TOKEN}]}}}}", "sources", "own folders go by this"),
        (f"sources: {{a: {{tokens: [{TOKEN}]}}}}", "provider", ""),
        (f"sources: {{a: {{provider: 'no provider', tokens: [{TOKEN}]}}}}", "provider", "like minio.default"),
        (f"sources: {{a: {{{MINIO}}}}}", "sources", "no token"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}, {TOKEN}, {TOKEN}]}}}}", "sources", "3 tokens"),
        (f"sources: {{a: {{{MINIO}, tokens: [canary-short]}}}}", "tokens", "12 characters"),
        (f"sources: {{a: {{{MINIO}, tokens: ['canary with spaces in it']}}}}", "tokens", "letters, digits"),
        (f"sources: {{a: {{{MINIO}, tokens: ['Bearer {TOKEN}']}}}}", "tokens", "the token alone"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], type: websocket}}}}", "type", "webhook"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], key_encoding: url}}}}", "key_encoding", "percent"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], directory: data}}}}", "directory", "absolute path"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], directory: /}}}}", "directory", "absolute path"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], directory: /a/../b}}}}", "directory", "absolute path"),
        (f"sources: {{a: {{{MINIO}, tokens: [{TOKEN}], tokn: x}}}}", "tokn", ""),
        ("storage_providers: {minio: {default: {access_key: a, secret_key: canary}}}", "endpoint", ""),
        ("storage_providers: {minio: {default: {endpoint: e}}}", "minio", "access_key"),
        ("storage_providers: {minio: {default: {endpoint: e, access_key: canary}}}", "minio", "secret_key"),
        (
            "storage_providers: {s3: {a: {access_key: canary, access_key_file: f, secret_key: k}}}",
            "s3",
            "one of the two",
        ),
        ("storage_providers: {onedata: {a: {token: canary}}}", "onedata", ""),
        ("sources: {a: {", "", "line"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_any_secret(
    directory: DataDirectory, text: str, place: str, said: str
) -> None:
    write(directory, text)
    with pytest.raises(ConfigurationError) as told:
        load_config(directory)
    message = str(told.value)
    assert str(directory.config) in message
    assert place in message
    assert said in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is empty"), (b"short", "5 characters"), (b"\xff" * 20, "ASCII")],
)
def test_a_token_file_that_holds_no_token_is_told_with_the_key_that_names_it(
    directory: DataDirectory, content: bytes | None, said: str
) -> None:
    if content is not None:
        (directory.path / "token").write_bytes(content)
    write(directory, f"sources: {{a: {{{MINIO}, token_files: [token]}}}}")
    with pytest.raises(ConfigurationError, match=rf"sources\.a\.token_files.*{directory.path}/token.*{said}"):
        load_config(directory)


def test_all_files_that_hold_no_secret_are_told_at_once(directory: DataDirectory) -> None:
    (directory.path / "empty").touch()
    write(
        directory,
        f"""
sources: {{a: {{{MINIO}, token_files: [missing]}}}}
storage_providers: {{s3: {{b: {{access_key_file: empty, secret_key_file: missing-too}}}}}}
""",
    )
    with pytest.raises(ConfigurationError) as told:
        load_config(directory)
    for said in (
        "a.token_files: cannot read",
        "b.access_key_file: ",
        "empty is empty",
        "b.secret_key_file: cannot read",
    ):
        assert said in str(told.value)


def test_a_file_that_cannot_be_read_is_told(directory: DataDirectory) -> None:
    directory.config.mkdir()
    with pytest.raises(ConfigurationError, match=f"{directory.config}.*a directory"):
        load_config(directory)
