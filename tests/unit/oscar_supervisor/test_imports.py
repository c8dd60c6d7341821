"""What a run in a container imports: every module of it is paid for with each event.

Measured on CPython 3.11: asyncio 45 ms, pydantic 70, PyYAML 15, obstore 5 (reference/libraries.md §3.5).
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """\
import sys
before = set(sys.modules)
from oscar_supervisor.app import main
code = main(["run", "--root", sys.argv[1]])
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
sys.exit(code)
"""
OURS = {"oscar_events", "oscar_supervisor"}
# msgspec takes typing_extensions if it is there, and uuid, platform, ipaddress through the standard library.
THIRD_PARTY = {"msgspec", "typing_extensions"}
# Of the standard library what pathlib, dataclasses, subprocess, logging, argparse, tempfile and msgspec bring, on
# CPython 3.11 to 3.13; modules whose names begin with an underscore belong to one of these.
STANDARD = {
    "argparse",
    "ast",
    "atexit",
    "base64",
    "binascii",
    "bisect",
    "bz2",
    "collections",
    "contextlib",
    "copy",
    "copyreg",
    "ctypes",
    "dataclasses",
    "datetime",
    "decimal",
    "dis",
    "enum",
    "errno",
    "fcntl",
    "fnmatch",
    "functools",
    "gettext",
    "glob",
    "grp",
    "hashlib",
    "importlib",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "lzma",
    "math",
    "ntpath",
    "numbers",
    "opcode",
    "operator",
    "pathlib",
    "platform",
    "posixpath",
    "pwd",
    "random",
    "re",
    "reprlib",
    "select",
    "selectors",
    "shutil",
    "signal",
    "string",
    "struct",
    "subprocess",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "token",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "urllib",
    "uuid",
    "warnings",
    "weakref",
    "zlib",
}


def imported(root: Path, event: bytes, **variables: str) -> set[str]:
    """Return the top-level modules that a run brought in, but for private ones of the standard library."""
    run = subprocess.run(
        [sys.executable, "-c", RUN, root],
        input=event,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(root), "SCRIPT": encoded("true"), **variables},
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    names = run.stdout.decode().split()
    return {name for name in names if not name.startswith("_")}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("event", [b"", b'{"a": 1}', b"aXQgd29ya3Mh"])
def test_a_message_with_its_script_in_a_variable_needs_no_library_but_one(tmp_path: Path, event: bytes) -> None:
    found = imported(tmp_path, event)
    assert found - STANDARD - THIRD_PARTY == OURS


def test_oscars_configuration_brings_yaml_and_nothing_else(tmp_path: Path) -> None:
    found = imported(tmp_path, b"", FUNCTION_CONFIG=encoded("name: plants\nlog_level: INFO\n"))
    assert found - STANDARD - THIRD_PARTY - {"cython_runtime"} == OURS | {"yaml"}


def test_an_event_of_a_local_storage_brings_no_client_of_any_other(tmp_path: Path) -> None:
    bucket = tmp_path / "buckets" / "pics"
    bucket.mkdir(parents=True)
    (bucket / "a").write_text("meow")
    (tmp_path / "staging").mkdir()
    record = {
        "eventSource": "minio:s3",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": "pics"}, "object": {"key": "a", "sequencer": "18E9F51C32EAEE80"}},
    }
    event = json.dumps({"storage_provider": "local.default", "event": {"Records": [record]}}).encode()
    config = {"storage_providers": {"local": {"default": {"root": str(bucket.parent)}}}}
    found = imported(tmp_path, event, FUNCTION_CONFIG=encoded(json.dumps(config)))
    assert found - STANDARD - THIRD_PARTY - {"json"} == OURS
