"""A service file of ours, as one run sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError
from oscar_events.job import Output
from oscar_supervisor.service_facts import Place
from oscar_supervisor.service_file import read_service_file

FILE = """\
name: blur
image: busybox
script: convert "$INPUT_FILE_PATH"
input: [{storage_provider: minio, path: pics/in}]
output: [{storage_provider: s3.results, path: pics/out/, suffix: .png}]
file_stage_in: true
log_level: debug
environment:
  variables: {RADIUS: 4}
  secrets: {PASSWORD: in the file, OSCARS: ""}
storage_providers: {s3: {results: {access_key: a, secret_key: s}}}
dispatch: {timeout: 10m}
"""


def test_what_a_run_needs_is_taken_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "blur.yaml").write_text(FILE)
    facts, _ = read_service_file(tmp_path / "blur.yaml")
    assert (facts.name, facts.script, facts.log_level) == ("blur", 'convert "$INPUT_FILE_PATH"', "DEBUG")
    assert facts.inputs == (Place("minio.default", "pics"),)
    assert facts.outputs == (Output(provider="s3.results", bucket="pics", folder="out", suffix=(".png",)),)
    assert facts.storage["s3.results"] == {"access_key": "a", "secret_key": "s"}
    # An empty secret is one that OSCAR has put into the environment itself.
    assert facts.variables == {"RADIUS": "4", "PASSWORD": "in the file"}
    assert (facts.timeout_s, facts.stage_in) == (600, False)


def test_a_file_with_two_services_is_no_file_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("true")
    service = "{name: %s, image: busybox, script: script.sh}"
    listed = ", ".join(f"{{here: {service % name}}}" for name in ("one", "two"))
    (tmp_path / "both.yaml").write_text(f"functions: {{oscar: [{listed}]}}")
    with pytest.raises(ConfigurationError, match=r"holds 2 services \(one, two\)"):
        read_service_file(tmp_path / "both.yaml")


def test_a_secret_without_its_value_is_an_error(tmp_path: Path) -> None:
    reference = '{name: a, image: b, script: "true", environment: {secrets: {KEY: {$secret: abc}}}}'
    (tmp_path / "a.yaml").write_text(reference)
    with pytest.raises(ConfigurationError, match="KEY"):
        read_service_file(tmp_path / "a.yaml")
