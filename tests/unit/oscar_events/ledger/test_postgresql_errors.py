"""A database's URL whose password is cut off by its own characters is refused before any part of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from oscar_events.errors import ConfigurationError
from oscar_events.ledger.postgresql import database_url
from oscar_events.settings import LedgerSettings


@pytest.mark.parametrize("password", ["12/canary", "12?canary", "12#canary", "canary/34", "12/can:ary@34"])
def test_a_password_that_should_be_escaped_is_refused_with_how_and_not_shown(tmp_path: Path, password: str) -> None:
    url = f"postgresql://me:{password}@db:5432/oscar"
    (tmp_path / "url").write_text(url)
    for settings in (LedgerSettings(url=SecretStr(url)), LedgerSettings(url_file=tmp_path / "url")):
        with pytest.raises(ConfigurationError, match="write / as %2F") as refused:
            database_url(settings)
        assert not any(part in str(refused.value) for part in ("canary", "12", "34"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a%2Fb%3F@db:5432/oscar",
        "postgresql://me:a@b@db/oscar",
        "postgresql://db/oscar?user=me@realm",
        "postgresql:///oscar?host=/run/postgresql",
        "postgresql://me@[::1]:5432/oscar",
    ],
)
def test_other_urls_are_left_as_they_are(url: str) -> None:
    assert database_url(LedgerSettings(url=SecretStr(url))) == url
