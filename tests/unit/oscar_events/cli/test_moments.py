"""Times and rates as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oscar_events.cli.moments import moment, optional_moment, rate
from oscar_events.errors import ConfigurationError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-20T10:00Z", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T10:00:00.5+02:00", datetime(2026, 11, 20, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20).astimezone(UTC)),  # without a zone: this machine's
    ],
)
def test_a_time_is_iso_8601_or_an_age(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "1w", "-1h", "1.5h", "2026-13-01", "999999d", "1h\n2", "٣h"])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write a time like"):
        moment(text, NOW)


def test_no_time_given_is_none() -> None:
    assert optional_moment(None) is None


@pytest.mark.parametrize(("text", "meant"), [(None, None), ("10", 10), ("5/s", 5)])
def test_a_rate_is_so_many_a_second(text: str | None, meant: int | None) -> None:
    assert rate(text) == meant


@pytest.mark.parametrize("text", ["0", "-1", "fast", "10/m", "1.5"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no rate"):
        rate(text)
