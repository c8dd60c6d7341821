"""Which files become which objects, as OSCAR's users know it (reference/supervisor.md §8)."""

from __future__ import annotations

import pytest

from oscar_events.job import Output
from oscar_supervisor.outputs import OutputRefusedError, object_name, place


def keys(files: list[bytes], **output: object) -> list[bytes]:
    return [one.key for one in place(files, [Output(provider="p", bucket="b", **output)])]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (b"a.txt", b"a.txt"),
        (b" lead", b"lead"),
        (b"trail ", b"trail"),
        (b"\n/file3.out", b"file3.out"),
        (b"a /b", b"a /b"),  # only at the ends
        (b".hidden", b".hidden"),
    ],
)
def test_a_name_loses_whitespace_and_slashes_at_its_ends(file: bytes, name: bytes) -> None:
    assert object_name(file) == name


def test_a_name_of_nothing_but_whitespace_is_refused() -> None:
    with pytest.raises(OutputRefusedError, match="nothing is left"):
        place([b" "], [Output(provider="p", bucket="b")])


@pytest.mark.parametrize(
    ("prefix", "suffix", "selected"),
    [
        ((), (), [b"res.txt", b"sub/res.TXT", b"x.jpg"]),
        (("res",), (), [b"res.txt"]),  # on the relative name, not on its last part
        (("sub/",), (), [b"sub/res.TXT"]),
        ((), ("txt", "jpg"), [b"res.txt", b"x.jpg"]),  # or within, case matters
        (("res",), ("jpg",), []),  # and between
    ],
)
def test_prefix_and_suffix_select(prefix: tuple[str, ...], suffix: tuple[str, ...], selected: list[bytes]) -> None:
    assert keys([b"res.txt", b"sub/res.TXT", b"x.jpg"], prefix=prefix, suffix=suffix) == selected


def test_oscars_own_example_puts_seven_files_and_one() -> None:
    files = [b"file1.txt", b"file1.jpg", b"result-file.txt", b"result-file.out", b"file2.txt", b"file2.out"]
    outputs = [
        Output(provider="s3", bucket="bucket", folder="folder"),
        Output(provider="minio", bucket="bucket", prefix=("result-",), suffix=("txt", "jpg")),
    ]
    placed = place([*files, b"\n/file3.out"], outputs)
    assert {one.key for one in placed if one.provider == "s3"} == {b"folder/" + n for n in [*files, b"file3.out"]}
    assert [one.key for one in placed if one.provider == "minio"] == [b"result-file.txt"]


def test_two_files_for_one_object_are_refused_by_both_their_names() -> None:
    with pytest.raises(OutputRefusedError, match=r"'\\na' and 'a' would both become b/f/a"):
        keys([b"a", b"\na"], folder="f")


def test_two_outputs_that_meet_in_one_folder_put_a_file_once() -> None:
    both = [Output(provider="p", bucket="b", folder="f"), Output(provider="p", bucket="b", folder="f", suffix=("a",))]
    assert len(place([b"a"], both)) == 1
