"""Settings of S3 providers: what is accepted, what is refused, and that no secret is in any text."""

from __future__ import annotations

from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError
from oscar_supervisor.storage.s3_settings import credentials_from, s3_settings
from oscar_supervisor.storage.table import open_storage

MINIO = {"type": "minio", "endpoint": "http://host:9000", "access_key": "the-user", "secret_key": "the-secret"}
S3 = {"type": "s3", "access_key": "the-user", "secret_key": "the-secret"}


def test_oscars_settings_are_read() -> None:
    settings = s3_settings({**MINIO, "region": "eu-west-1", "verify": "False", "session_token": "the-token\n"})
    assert (settings.endpoint, settings.host, settings.region) == ("http://host:9000", "host:9000", "eu-west-1")
    assert not settings.verify
    assert settings.credentials is not None
    assert settings.credentials.token == "the-token"
    assert "the-" not in repr(settings)


def test_what_is_not_said_is_as_oscar_has_it() -> None:
    minio = s3_settings({name: value for name, value in MINIO.items() if name != "endpoint"})
    assert (minio.endpoint, minio.region, minio.verify) == ("http://minio-service.minio:9000", "us-east-1", True)
    assert s3_settings({**S3, "region": "eu-west-1"}).host == "s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("missing", ["access_key", "secret_key"])
@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("settings", [MINIO, S3], ids=["minio", "s3"])
def test_missing_credentials_are_an_error_and_never_somebody_elses(
    settings: dict[str, str], missing: str, value: str | None
) -> None:
    changed = {name: setting for name, setting in settings.items() if name != missing}
    if value is not None:
        changed[missing] = value
    with pytest.raises(ConfigurationError, match=rf"provider minio\.mine: type {settings['type']} needs `{missing}`"):
        open_storage("minio.mine", changed, "execution", 1)


def test_the_environments_credentials_are_for_s3_where_settings_say_so() -> None:
    assert s3_settings({"type": "s3", "credentials": "ambient"}).credentials is None
    with pytest.raises(ConfigurationError, match="needs `access_key`"):
        s3_settings({"type": "minio", "credentials": "ambient"})


@pytest.mark.parametrize(
    "endpoint",
    ["host:9000", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://host/path", "http://h?a=b"],
)
def test_an_endpoint_that_is_none_is_refused_with_the_form_of_one(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"`endpoint` is '.*'; it must be http://HOST:PORT"):
        s3_settings({**MINIO, "endpoint": endpoint})


def test_an_endpoint_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError, match="`endpoint` holds a user") as refused:
        s3_settings({**MINIO, "endpoint": "http://me:the-password@host"})
    assert "the-password" not in str(refused.value)


def test_verify_is_true_or_false() -> None:
    with pytest.raises(ConfigurationError, match="`verify` is 'maybe'; true or false"):
        s3_settings({**MINIO, "verify": "maybe"})


def test_a_key_of_several_lines_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError, match="`secret_key` has several lines") as refused:
        s3_settings({**MINIO, "secret_key": "the-first\nthe-second"})
    assert "the-first" not in str(refused.value)


def test_credentials_are_read_from_mounted_files_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "accessKey").write_text("the-user\n")
    (tmp_path / "secretKey").write_text(" the secret \r\n")
    assert credentials_from(tmp_path) == {"access_key": "the-user", "secret_key": " the secret "}


def test_a_directory_that_is_not_mounted_holds_no_credentials(tmp_path: Path) -> None:
    assert credentials_from(tmp_path / "minio.default") == {}


def test_a_mounted_directory_without_one_of_the_files_names_it(tmp_path: Path) -> None:
    (tmp_path / "accessKey").write_text("the-user\n")
    with pytest.raises(ConfigurationError, match=r"secretKey: No such file.*must hold the provider's secret_key"):
        credentials_from(tmp_path)
