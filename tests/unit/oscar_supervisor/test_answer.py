"""What a run answers on stdout: the forms of reference/supervisor.md §9."""

from __future__ import annotations

import base64
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from oscar_supervisor.answer import answer_files, answer_printed
from oscar_supervisor.output_files import find_files

MIB = 1024 * 1024


def answered(directory: Path) -> bytes:
    pieces: list[bytes] = []
    answer_files(directory, find_files(directory).files, directory.parent / "answer.zip", pieces.append)
    return b"".join(pieces)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("size", [0, 1, 2, 3, 768 * 1024 - 1, 768 * 1024, 768 * 1024 + 1, 2_000_000])
def test_one_file_is_answered_in_base64(output: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (output / "result.bin").write_bytes(content[:size])
    assert answered(output) == base64.b64encode(content[:size]) + b"\n"


def test_several_files_are_answered_as_a_zip_in_which_they_are_stored(output: Path) -> None:
    (output / "sub").mkdir()
    (output / "sub" / "größe.txt").write_text("in a folder")
    (output / ".hidden").write_bytes(b"x" * 100)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(answered(output)))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [".hidden", "sub/größe.txt"]
        assert archive.read("sub/größe.txt") == b"in a folder"
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_what_was_printed_is_answered_with_a_newline(tmp_path: Path) -> None:
    (tmp_path / "printed").write_bytes(b"bytes \xff\n")
    pieces: list[bytes] = []
    answer_printed(tmp_path / "printed", pieces.append)
    assert b"".join(pieces) == b"bytes \xff\n\n"


@pytest.mark.parametrize("files", [1, 2])
def test_an_answer_of_any_size_needs_the_same_memory(output: Path, files: int) -> None:
    for number in range(files):
        with (output / str(number)).open("wb") as file:
            file.truncate(64 * MIB)
    found = find_files(output).files
    tracemalloc.start()
    try:
        answer_files(output, found, output.parent / "answer.zip", lambda piece: None)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
