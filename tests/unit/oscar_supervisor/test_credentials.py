"""Where a run finds the credentials of a storage provider, and that it never does without."""

from __future__ import annotations

from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError
from oscar_supervisor.credentials import MOUNTED, settings_for

KEYS = {"access_key": "written-a", "secret_key": "written-s"}


def mount(root: Path, provider: str, **files: str) -> None:
    directory = root / MOUNTED / provider
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_text(content)


@pytest.mark.parametrize("provider", ["minio.default", "minio.cluster2", "s3.default", "s3.other"])
def test_mounted_keys_win_over_written_ones_for_every_provider(tmp_path: Path, provider: str) -> None:
    mount(tmp_path, provider, accessKey="mounted-a\n", secretKey="mounted-s\n")
    settings = settings_for(provider, {provider: {**KEYS, "region": "r", "verify": False}}, tmp_path)
    assert settings == {
        "type": provider.partition(".")[0],
        "access_key": "mounted-a",
        "secret_key": "mounted-s",
        "region": "r",
        "verify": "false",
    }


def test_written_keys_are_used_where_none_are_mounted(tmp_path: Path) -> None:
    assert settings_for("minio.other", {"minio.other": KEYS}, tmp_path) == {"type": "minio", **KEYS}


@pytest.mark.parametrize(
    ("provider", "written"),
    [
        ("minio.default", {}),
        ("minio.default", {"access_key": "hidden", "secret_key": "hidden"}),  # OSCAR's placeholder is no key
        ("minio.other", {"access_key": "a"}),
        ("s3.other", {"access_key": "", "secret_key": None}),
        ("s3.default", {"access_key": "a"}),
    ],
)
def test_without_credentials_there_is_no_run(tmp_path: Path, provider: str, written: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"no .*secret_key for the storage provider {provider}: mount"):
        settings_for(provider, {provider: written}, tmp_path)


def test_the_default_of_aws_without_keys_is_the_ambient_chain(tmp_path: Path) -> None:
    assert settings_for("s3.default", {}, tmp_path) == {"type": "s3", "credentials": "ambient"}


def test_half_a_mount_is_an_error(tmp_path: Path) -> None:
    mount(tmp_path, "minio.default", accessKey="a")
    with pytest.raises(ConfigurationError, match="secretKey"):
        settings_for("minio.default", {}, tmp_path)


def test_a_provider_nobody_defined_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no storage provider onedata\.x; add it"):
        settings_for("onedata.x", {}, tmp_path)


@pytest.mark.parametrize("name", ["default", "archive"])
def test_a_local_provider_nobody_defined_is_an_error_that_says_how_to(tmp_path: Path, name: str) -> None:
    how = f"`storage_providers: {{local: {{{name}: {{root: DIR}}}}}}`, where DIR holds the buckets"
    with pytest.raises(ConfigurationError) as told:
        settings_for(f"local.{name}", {}, tmp_path)
    assert str(told.value).endswith(f"no storage provider local.{name}; add it to its storage_providers: {how}")


@pytest.mark.parametrize(
    "provider", ["minio.default/../../elsewhere", "s3./elsewhere", "minio.a\nb", "minio.\u202e", "minio.\ud800"]
)
def test_a_name_from_an_event_is_no_path_and_nothing_that_logs_cannot_hold(tmp_path: Path, provider: str) -> None:
    mount(tmp_path, "minio.default", accessKey="a", secretKey="s")
    mount(tmp_path, "../elsewhere", accessKey="of-another", secretKey="of-another")
    with pytest.raises(ConfigurationError, match="is no name of a storage provider") as caught:
        settings_for(provider, {}, tmp_path)
    assert str(caught.value).isprintable()
