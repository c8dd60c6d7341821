"""A log of any length: its head, its tail, and how much is missing."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from oscar_supervisor.bounded_log import BoundedLog


@given(st.lists(st.binary(max_size=20)))
def test_head_and_tail_are_those_of_everything_written_however_it_was_cut(chunks: list[bytes]) -> None:
    log = BoundedLog(head_bytes=10, tail_bytes=7)
    for chunk in chunks:
        log.write(chunk)
    everything = b"".join(chunks)
    missing = len(everything) - 17
    if missing > 0:
        gap = b"\n[... %d bytes of output left out ...]\n" % missing
        assert log.content() == everything[:10] + gap + everything[-7:]
    else:
        assert log.content() == everything


def test_a_growing_log_can_be_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with BoundedLog(file, head_bytes=10, tail_bytes=5) as log:
        assert not file.exists()
        log.write(b"12345")
        assert file.read_bytes() == b"12345"
        log.write(b"67890abcdefgh")
        assert file.read_bytes() == log.content() == b"1234567890\n[... 3 bytes of output left out ...]\ndefgh"


def test_a_log_whose_file_cannot_be_written_is_kept_all_the_same(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "missing" / "log") as log:
        log.write(b"one")
        log.write(b"two")
        assert log.content() == b"onetwo"
