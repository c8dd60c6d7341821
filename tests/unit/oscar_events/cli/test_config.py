"""The command `config`: what is in force, where from, and the reference page."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from oscar_dispatcher.settings import cores
from oscar_events.cli.config import in_force, lines
from oscar_events.cli.settings_page import settings_page
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from tests.unit.oscar_events.cli.test_app import run

PAGE = Path(__file__).parents[4] / "docs" / "settings.md"
TEXT = """\
kafka: {bootstrap_servers: "a:1", security_protocol: SASL_SSL, sasl_username: me, sasl_password: canary}
ledger:
  url: postgresql://me:canary@db:5432/oscar?password=canary
sources:
  minio: {provider: minio.default, tokens: [canary-0123456789]}
storage_providers:
  minio:
    default: {endpoint: "http://store:9000", access_key: canary, secret_key: canary}
"""


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    (tmp_path / "config.yaml").write_text(TEXT)
    (tmp_path / "config.yaml").chmod(0o600)
    return DataDirectory(tmp_path)


def test_every_value_is_told_with_its_origin_and_no_secret(directory: DataDirectory) -> None:
    printed = list(lines(load_config(directory, {"OSCAR_EVENTS_KAFKA__TOPICS__PARTITIONS": "5"})))
    assert "canary" not in "\n".join(printed)
    assert '  url: "postgresql://me:hidden@db:5432/oscar?password=hidden"  # config.yaml, line 3' in printed
    assert "    partitions: 5  # OSCAR_EVENTS_KAFKA__TOPICS__PARTITIONS" in printed
    assert "    retention: 7d  # default" in printed
    assert "    tokens: [hidden]  # config.yaml, line 5" in printed
    assert "      secret_key: hidden  # config.yaml, line 8" in printed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:can/canary:canary@db:5432/oscar",  # characters that should have been %-escapes
        "postgresql://me:can@canary?canary#canary@db/oscar",
        "postgresql://db/oscar?user=me&password=canary&sslpassword=canary",
        "postgres://me:canary@db,db2/oscar?sslmode=require",
    ],
)
def test_of_the_databases_url_no_part_of_a_password_is_told(tmp_path: Path, url: str) -> None:
    variables = {"OSCAR_EVENTS_LEDGER__URL": url, "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": "a:1"}
    [told] = [line for line in lines(load_config(DataDirectory(tmp_path), variables)) if line.startswith("  url:")]
    assert "can" not in told
    assert "db" in told


def test_what_is_printed_is_yaml_of_what_is_in_force(directory: DataDirectory) -> None:
    config = load_config(directory, {})
    assert yaml.safe_load("\n".join(lines(config))) == in_force(config)


def test_without_any_configuration_all_are_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--data", str(tmp_path), "config") == 0
    printed = capsys.readouterr().out.splitlines()
    assert "kafka: null  # default" in printed
    assert all(line.endswith((":", "# default")) for line in printed)


def test_scripts_get_json_with_the_origins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], directory: DataDirectory
) -> None:
    monkeypatch.setenv("OSCAR_EVENTS_CONFIG", str(directory.config))
    assert run(monkeypatch, "config", "--json", "--data", str(directory.path / "elsewhere")) == 0
    out = capsys.readouterr().out
    assert "canary" not in out
    assert json.loads(out)["origins"]["kafka.sasl_password"] == "config.yaml, line 1"


def test_the_reference_page_in_docs_is_the_one_the_models_make() -> None:
    assert PAGE.read_text() == settings_page(), "run `oscar-events config --reference > docs/settings.md`"


def test_the_reference_page_is_printed_whatever_the_configuration_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--data", os.devnull, "config", "--reference") == 0
    assert capsys.readouterr().out == settings_page()


def test_what_the_file_does_not_say_is_told_as_a_default_and_what_it_names_a_file_for_by_its_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("canary-0123456789")
    (tmp_path / "key").write_text("canary")
    provider = "{endpoint: 'http://a:1', access_key_file: key,\n secret_key_file: key}"
    sources = "sources:\n  minio:\n    provider: minio.default\n    token_files: [token]\n"
    (tmp_path / "config.yaml").write_text(f"{sources}storage_providers:\n  minio:\n    default: {provider}\n")
    printed = list(lines(load_config(DataDirectory(tmp_path), {})))
    assert "    provider: minio.default  # config.yaml, line 3" in printed
    assert "    tokens: [hidden]  # config.yaml, line 4" in printed
    assert "    tenant: default  # default" in printed
    assert "    service: null  # default" in printed
    assert "      verify: true  # default" in printed
    assert "      secret_key: hidden  # config.yaml, line 8" in printed


def test_the_concurrency_in_force_is_a_number(tmp_path: Path) -> None:
    assert in_force(load_config(DataDirectory(tmp_path), {}))["dispatcher"]["concurrency"] == cores()
    given = load_config(DataDirectory(tmp_path), {"OSCAR_EVENTS_DISPATCHER__CONCURRENCY": "7"})
    assert in_force(given)["dispatcher"]["concurrency"] == 7
