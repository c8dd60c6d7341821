"""Service files as users write them, and what they are told about those that do not load."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.documents.scan import MAX_BYTES
from oscar_events.errors import ServiceError
from oscar_events.fdl import load_service_file, parse_service_file

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
      color: red
storage_providers:
  minio:
    site: {endpoint: https://shared}
    other: {endpoint: https://other}
clusters:
  laptop: {endpoint: https://laptop, auth_user: me, auth_password: secret}
storage_provider: {}
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
    assert blur.warnings == (
        "services.yaml, line 24: storage_provider: not known here, ignored; did you mean storage_providers?",
    )
    assert sharpen.warnings == ("services.yaml, line 17: functions.oscar[1].laptop.color: not known here, ignored",)


def test_what_is_read_otherwise_than_it_is_written_is_told_with_its_line(folder: Path) -> None:
    text = FILE.replace("      memory: 1Gi\n", "      rescheduler_threshold: 30\n      Federation: {group_id: g}\n")
    [told] = [one for one in parse_service_file(text, folder, "f.yaml")[1].warnings if "federation" in one]
    assert told.startswith("f.yaml, line 16: functions.oscar[1].laptop.rescheduler_threshold: read as federation.")


def test_the_files_clusters_reach_each_service_and_each_knows_its_own(folder: Path) -> None:
    blur, sharpen = (one.service for one in load_service_file(folder / "services.yaml"))
    assert {*blur.clusters} == {*sharpen.clusters} == {"laptop"}
    assert blur.cluster_id == sharpen.cluster_id == "laptop"
    text = FILE.replace("      name: blur\n", "      name: blur\n      Cluster_ID: other\n")
    assert parse_service_file(text, folder, "f.yaml")[0].service.cluster_id == "other"


def test_what_people_write_as_text_stays_what_they_wrote(folder: Path) -> None:
    """YAML 1.1 would make 493, 90, true, a date and 1.1 of these."""
    written = {
        "PIN": "0755",
        "AT": "1:30",
        "OK": "yes",
        "ON": "True",
        "DAY": "2024-13-01",
        "VERSION": "1.10",
        "E": "1e3",
    }
    lines = "".join(f"          {name}: {value}\n" for name, value in written.items())
    text = FILE.replace("      name: blur\n", f"      name: blur\n      environment:\n        Variables:\n{lines}")
    assert parse_service_file(text, folder, "f.yaml")[0].service.environment.variables == written


@pytest.mark.parametrize(
    ("script", "read"),
    [
        ("blur.sh", "blur\n"),  # names an existing file
        ("cp a b", "cp a b"),  # does not
        ('"cp a b\\ncp c d\\n"', "cp a b\ncp c d\n"),
        ("'" + "true && " * 600 + "true'", "true && " * 600 + "true"),  # too long for a file name
    ],
)
def test_a_flat_service_has_its_script_in_it_or_beside_it(folder: Path, script: str, read: str) -> None:
    [loaded] = parse_service_file(FLAT % script, folder, "blur.json")
    assert loaded.service.script == read
    assert loaded.where == "blur.json"


def test_what_looks_like_a_script_beside_a_flat_service_is_not_taken_for_a_command(folder: Path) -> None:
    with pytest.raises(ServiceError, match=r"blur\.json, line 1: script: found blurr\.sh is not there.* like blur\.sh"):
        parse_service_file(FLAT % "blurr.sh", folder, "blur.json")


def test_a_script_may_be_named_by_its_whole_path(folder: Path) -> None:
    text = FILE.replace("script: blur.sh", f"script: {folder / 'blur.sh'}")
    assert parse_service_file(text, Path("elsewhere") / folder, "x")[0].service.script == "blur\n"


@pytest.mark.parametrize(
    ("old", "new", "where", "told"),
    [
        ("script: blur.sh", "script: gone.sh", "f.yaml, line 6: LAPTOP.script", "gone.sh is not there"),
        ("script: blur.sh", "script: scripts", "f.yaml, line 6: LAPTOP.script", "scripts is a directory"),
        ("script: blur.sh", "script: pipe", "f.yaml, line 6: LAPTOP.script", "pipe is no file"),
        ("script: blur.sh", "script: latin1.sh", "f.yaml, line 6: LAPTOP.script", "not UTF-8 at byte 1"),
        ("script: blur.sh", "script: big.sh", "f.yaml, line 6: LAPTOP.script", "more than 262144"),
        ("script: blur.sh", "script: 3", "f.yaml, line 6: LAPTOP.script", "the number 3"),
        ("image: busybox", "imag: busybox", "f.yaml, line 5: LAPTOP.imag", "no image"),
        ("name: sharpen", "name: blur", "f.yaml, line 13: functions.oscar[1].laptop.name", "functions.oscar[0].laptop"),
        ("path: pics/in", "path: ''", "f.yaml, line 8: LAPTOP.input[0].path", "empty"),
        ("  - laptop:\n", "  - laptop:\n    other:\n", "f.yaml, line 3: functions.oscar[0]", "2 keys"),
        ("  oscar:", "  oscar: []\n  other:", "f.yaml, line 2: functions.oscar", "a list of"),
        ("  oscar:", "  scar:", "f.yaml, line 2: functions.scar", "a list of"),
        ("site: {endpoint: https://own}", "[]", "f.yaml, line 10: LAPTOP.storage_providers.minio", "mapping"),
        (
            "\nstorage_providers:\n",
            "\nstorage_providers: {minio: []}\nx:\n",
            "f.yaml, line 18: storage_providers.minio",
            "mapping",
        ),
        (FILE, "", "f.yaml, line 1", "an empty file"),
        (FILE, "- blur", "f.yaml, line 1", "found a list"),
        (FILE, "functions: 3", "f.yaml, line 1: functions", "the number 3"),
        ("image: busybox", "image: [", "f.yaml, line 5: LAPTOP.image", "without its end"),  # where it opens
        ("image: busybox", "image: \0", "f.yaml, line 5", "U+0000"),
        ("image: busybox", "image: &image busybox", "f.yaml, line 5: LAPTOP.image", "anchor"),
        ("image: busybox", "image: *image", "f.yaml, line 5: LAPTOP.image", "alias"),
        ("image: busybox", "image: !!int ''", "f.yaml, line 5: LAPTOP.image", "tag"),
        (FILE, "[" * 1000, "f.yaml, line 1", "more than 32 levels"),
        (FILE, "#" * (MAX_BYTES + 1), "f.yaml, line 1", "more than 262144"),
    ],
)
def test_a_file_that_does_not_load_says_where_and_why(folder: Path, old: str, new: str, where: str, told: str) -> None:
    (folder / "latin1.sh").write_bytes(b"\x20\xe9")
    (folder / "big.sh").write_bytes(b"#" * (MAX_BYTES + 1))
    os.mkfifo(folder / "pipe")  # opening it would wait for ever
    assert old in FILE
    with pytest.raises(ServiceError) as caught:
        parse_service_file(FILE.replace(old, new, 1), folder, "f.yaml")
    assert caught.value.where == where.replace("LAPTOP", "functions.oscar[0].laptop")
    assert told in f"{caught.value.what}; {caught.value.fix}"


def test_a_service_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"gone\.yaml is not there"):
        load_service_file(tmp_path / "gone.yaml")


def test_a_service_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "latin1.yaml").write_bytes(b"name: a\nimage: \xe9\n")
    with pytest.raises(ServiceError, match=r"latin1\.yaml, line 2: latin1\.yaml is not UTF-8 at byte 15"):
        load_service_file(tmp_path / "latin1.yaml")
    (tmp_path / "utf16.yaml").write_bytes("name: a\n".encode("utf-16"))
    with pytest.raises(ServiceError, match=r"if it is utf-16, `iconv -f utf-16 -t utf-8 utf16\.yaml` prints it so"):
        load_service_file(tmp_path / "utf16.yaml")


def test_a_mistake_in_what_services_share_is_told_once(folder: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_service_file(FILE.replace("auth_user: me", "auth_user: [me]"), folder, "f.yaml")
    assert caught.value.report.count("error:") == 1
    assert caught.value.where == "f.yaml, line 23: clusters.laptop.auth_user"


_fragments = st.lists(
    st.sampled_from([*"{}[]:,-#&*!|>'\"%@ \n", "functions:", "oscar:", "name: a", "2024-13-01", "0x_", "<<:"])
)


@given(text=st.text() | _fragments.map("".join) | _fragments.map(lambda parts: FLAT % "".join(parts)))
def test_no_text_is_answered_by_anything_but_a_service_or_a_service_error(text: str) -> None:
    with suppress(ServiceError):
        assert parse_service_file(text, Path("nowhere"), "fuzz.yaml")
