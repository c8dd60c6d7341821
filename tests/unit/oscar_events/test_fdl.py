"""Service files as users write them, and what they are told about those that do not load."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import ServiceError
from oscar_events.fdl import MAX_BYTES, load_service_file, parse_service_file

FILE = """\
functions:
  oscar:
  - laptop:
      name: blur
      image: busybox
      script: blur.sh
      input:
      - {storage_provider: minio.default, path: pics/in}
      storage_providers:
        minio:
          site: {endpoint: https://own}
  - laptop:
      name: sharpen
      image: busybox
      script: scripts/sharpen.sh
      memory: 1Gi
storage_providers:
  minio:
    site: {endpoint: https://shared}
    other: {endpoint: https://other}
clusters: {}
"""
FLAT = "{name: blur, image: busybox, script: %s}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "blur.sh").write_bytes(b"blur\r\n")
    (tmp_path / "scripts" / "sharpen.sh").write_bytes(b"\xef\xbb\xbfsharpen\n")  # with an editor's byte order mark
    (tmp_path / "services.yaml").write_text(FILE)
    return tmp_path


def test_a_file_holds_several_services_and_their_scripts_lie_beside_it(folder: Path) -> None:
    blur, sharpen = load_service_file(folder / "services.yaml")
    assert (blur.service.name, blur.service.script) == ("blur", "blur\n")
    assert (sharpen.service.name, sharpen.service.script) == ("sharpen", "sharpen\n")
    assert blur.where == "services.yaml: functions.oscar[0].laptop"


def test_the_files_providers_reach_each_service_and_its_own_win(folder: Path) -> None:
    blur, sharpen = load_service_file(folder / "services.yaml")
    shared = {"site": {"endpoint": "https://shared"}, "other": {"endpoint": "https://other"}}
    assert sharpen.service.storage_providers == {"minio": shared}
    assert blur.service.storage_providers == {"minio": {**shared, "site": {"endpoint": "https://own"}}}


def test_what_was_ignored_is_named_once_with_its_place(folder: Path) -> None:
    blur, sharpen = load_service_file(folder / "services.yaml")
    assert blur.warnings == ("services.yaml: clusters: not known here, ignored",)
    assert sharpen.warnings == ("services.yaml: functions.oscar[1].laptop.memory: not known here, ignored",)


@pytest.mark.parametrize(
    ("script", "read"),
    [
        ("blur.sh", "blur\n"),  # names an existing file
        ("cp a b", "cp a b"),  # does not
        ('"cp a b\\ncp c d\\n"', "cp a b\ncp c d\n"),
        ("'" + "true && " * 600 + "true'", "true && " * 600 + "true"),  # too long for a file name
        ('"a\\0b"', "a\0b"),  # no file name either
    ],
)
def test_a_flat_service_has_its_script_in_it_or_beside_it(folder: Path, script: str, read: str) -> None:
    [loaded] = parse_service_file(FLAT % script, folder, "blur.json")
    assert loaded.service.script == read
    assert loaded.where == "blur.json"


def test_a_script_may_be_named_by_its_whole_path(folder: Path) -> None:
    text = FILE.replace("script: blur.sh", f"script: {folder / 'blur.sh'}")
    assert parse_service_file(text, Path("elsewhere") / folder, "x")[0].service.script == "blur\n"


@pytest.mark.parametrize(
    ("old", "new", "where", "told"),
    [
        ("script: blur.sh", "script: gone.sh", "f.yaml: functions.oscar[0].laptop.script", "gone.sh' is no file"),
        ("script: blur.sh", "script: scripts", "f.yaml: functions.oscar[0].laptop.script", "scripts' is no file"),
        ("script: blur.sh", "script: pipe", "f.yaml: functions.oscar[0].laptop.script", "pipe' is no file"),
        ("script: blur.sh", "script: latin1.sh", "f.yaml: functions.oscar[0].laptop.script", "not UTF-8 at byte 1"),
        ("script: blur.sh", "script: big.sh", "f.yaml: functions.oscar[0].laptop.script", "larger than 262144"),
        ("script: blur.sh", "script: 3", "f.yaml: functions.oscar[0].laptop.script", "write text"),
        ("image: busybox", "imag: busybox", "f.yaml: functions.oscar[0].laptop.image", "is missing"),
        ("name: sharpen", "name: blur", "f.yaml: functions.oscar[1].laptop.name", "functions.oscar[0].laptop"),
        ("path: pics/in", "path: ''", "f.yaml: functions.oscar[0].laptop.input[0].path", "empty"),
        ("  - laptop:\n", "  - laptop:\n    other:\n", "f.yaml: functions.oscar[0]", "has 2 keys"),  # indented wrongly
        ("  oscar:", "  oscar: []\n  other:", "f.yaml: functions.oscar", "no list of services"),
        ("  oscar:", "  scar:", "f.yaml: functions.oscar", "no list of services"),
        ("site: {endpoint: https://own}", "[]", "f.yaml: functions.oscar[0].laptop.storage_providers.minio", "mapping"),
        (
            "\nstorage_providers:\n",
            "\nstorage_providers: {minio: []}\nx:\n",
            "f.yaml: storage_providers.minio",
            "mapping",
        ),
        (FILE, "", "f.yaml: name", "is missing"),
        (FILE, "- blur", "f.yaml", "is no mapping; write"),
        (FILE, "functions: 3", "f.yaml: functions", "is no mapping; write"),
        ("image: busybox", "image: [", "f.yaml, line 7", "is no plain YAML"),  # where the parser noticed
        ("image: busybox", "image: \0", "f.yaml", "is no plain YAML"),
        ("image: busybox", "image: 2024-13-01", "f.yaml", "is no plain YAML"),  # a date to YAML, and a wrong one
        ("image: busybox", "image: &image busybox", "f.yaml, line 5", "anchor"),
        ("image: busybox", "image: *image", "f.yaml, line 5", "alias"),
        ("image: busybox", "image: !!int ''", "f.yaml, line 5", "tag"),  # IndexError in the YAML library
        (FILE, "[" * 1000, "f.yaml, line 1", "nested too deeply"),
        (FILE, "#" * (MAX_BYTES + 1), "f.yaml", "larger than"),
    ],
)
def test_a_file_that_does_not_load_says_where_and_why(folder: Path, old: str, new: str, where: str, told: str) -> None:
    (folder / "latin1.sh").write_bytes(b"\x20\xe9")
    (folder / "big.sh").write_bytes(b"#" * (MAX_BYTES + 1))
    os.mkfifo(folder / "pipe")  # opening it would wait for ever
    assert old in FILE
    with pytest.raises(ServiceError) as caught:
        parse_service_file(FILE.replace(old, new, 1), folder, "f.yaml")
    assert caught.value.where == where
    assert told in f"{caught.value.what}; {caught.value.fix}"


def test_a_service_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"gone\.yaml' is no file"):
        load_service_file(tmp_path / "gone.yaml")


_fragments = st.lists(
    st.sampled_from([*"{}[]:,-#&*!|>'\"%@ \n", "functions:", "oscar:", "name: a", "2024-13-01", "0x_", "<<:"])
)


@given(text=st.text() | _fragments.map("".join) | _fragments.map(lambda parts: FLAT % "".join(parts)))
def test_no_text_is_answered_by_anything_but_a_service_or_a_service_error(text: str) -> None:
    with suppress(ServiceError):
        assert parse_service_file(text, Path("nowhere"), "fuzz.yaml")
