"""Content types of results."""

from __future__ import annotations

import pytest

from oscar_supervisor.storage.content_types import content_type


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.png", "image/png"),
        ("folder.png/A.TXT", "text/plain"),
        ("folder.png/none", "application/octet-stream"),
        ("data:,x.json", "application/json"),  # a file name, not a URL
        ("a.html?b", "application/octet-stream"),
        ("a.tar.gz", "application/gzip"),  # not a tar that HTTP clients would unpack on the way
        (".png", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_the_suffix_gives_the_type(key: str, expected: str) -> None:
    assert content_type(key) == expected
