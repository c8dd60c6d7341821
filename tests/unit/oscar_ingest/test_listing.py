"""What lies in the buckets, and what there is not ours to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oscar_ingest.sources.listing import Place, buckets, place_of, walk


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (b"/b/in/a/b.jpg", ("in", b"a/b.jpg")),
        (b"/b/in", ("in", b"")),  # the bucket itself
        (b"/b", None),  # the root
        (b"/b/.trash/a", None),  # not a bucket
        (b"/b/in/.oscar-staging/x", None),  # ours
        (b"/b/in/p/.oscar-staging", None),
        (b"/b/in/.oscar-staging2", ("in", b".oscar-staging2")),
        (b"/b/\xff/a", None),  # no service file could name it
        (b"/b/in/\xff", ("in", b"\xff")),
    ],
)
def test_where_an_object_is(path: bytes, place: tuple[str, bytes] | None) -> None:
    assert place_of(b"/b", path) == place


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def keys(root: Path, *tops: Place) -> list[tuple[str, bytes]]:
    return sorted((file.bucket, file.key) for file in walk(os.fsencode(root), tops))


def test_a_walk_finds_every_file_below_its_places_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "in/a", "in/p/b", "in/p/q/c", "in/.oscar-staging/no", "out/d", ".no/e", "no")
    assert [place.bucket for place in sorted(buckets(os.fsencode(tmp_path)))] == ["in", "out"]
    assert keys(tmp_path, Place("in", b"")) == [("in", b"a"), ("in", b"p/b"), ("in", b"p/q/c")]
    assert keys(tmp_path, Place("in", b"p"), Place("out", b"")) == [("in", b"p/b"), ("in", b"p/q/c"), ("out", b"d")]
    assert keys(tmp_path, Place("gone", b""), Place("in", b"gone"), Place("in", b"a")) == []


def test_a_link_out_of_the_buckets_leads_nowhere(tmp_path: Path) -> None:
    make(tmp_path, "secret/key", "buckets/in/a")
    (tmp_path / "buckets/in/link").symlink_to(tmp_path / "secret")
    (tmp_path / "buckets/in/file").symlink_to(tmp_path / "secret/key")
    (tmp_path / "buckets/linked").symlink_to(tmp_path / "secret")
    root = tmp_path / "buckets"
    assert keys(root, Place("in", b""), Place("in", b"link"), Place("linked", b"")) == [("in", b"a")]


def test_files_that_vanish_during_a_walk_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, *(f"in/{n}/{m}" for n in range(3) for m in range(3)))
    files = walk(os.fsencode(tmp_path), [Place("in", b"")])
    seen = [next(files)]
    for path in sorted((tmp_path / "in").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert [*seen, *files] == seen


def let_the_clock_tick(directory: Path) -> None:
    """Return when a change made now is later, by the file system's clock, than everything in the directory before."""
    probe = directory / ".probe"
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.chmod(0o600)
    probe.unlink()


def test_a_folder_that_was_moved_here_says_so_of_all_the_files_in_it(tmp_path: Path) -> None:
    make(tmp_path, "in/here/a", "elsewhere/moved/sub/b")
    (tmp_path / "in" / "into").mkdir()
    let_the_clock_tick(tmp_path)
    (tmp_path / "elsewhere" / "moved").rename(tmp_path / "in" / "into" / "moved")
    moved = {file.key: file for file in walk(os.fsencode(tmp_path), [Place("in", b"")])}
    assert moved[b"here/a"].moved_ns == 0
    found = moved[b"into/moved/sub/b"]
    assert found.moved_ns == (tmp_path / "in" / "into" / "moved").stat().st_ctime_ns
    assert found.arrived > found.changed
    (below,) = walk(os.fsencode(tmp_path), [Place("in", b"into/moved/sub")])
    assert below.moved_ns == found.moved_ns, "also for an input that begins below it"
