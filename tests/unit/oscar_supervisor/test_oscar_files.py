"""A service as OSCAR puts it into a container."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError
from oscar_events.job import Output
from oscar_supervisor.oscar_files import CONFIG_FILE, SCRIPT_FILE, read_oscar_service
from oscar_supervisor.service_facts import Place

# test_parse_config_valid of faas-supervisor, and what else a run looks at.
CONFIG = """\
name: plants
memory: 1Gi
log_level: DEBUG
script: ""
unknown: {is: ignored}
input:
- storage_provider: MinIO
  path: /plants/in/
output:
- {storage_provider: s3, path: bucket/folder}
- storage_provider: minio.test_minio
  path: bucket
  suffix: [txt, jpg]
  prefix: result-
storage_providers:
  s3: {default: {access_key: a, secret_key: s, region: us-east-1}}
  minio: {test_minio: {endpoint: "http://h:9000", verify: false, access_key: hidden, secret_key: hidden}}
environment: {variables: {RADIUS: 4, FAST: true}, secrets: {PASSWORD: ""}}
isolation_level: USER
bucket_list: [alice, bob]
"""


def in_container(root: Path, config: str | None = None, script: bytes | None = None) -> Path:
    (root / CONFIG_FILE).parent.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (root / CONFIG_FILE).write_text(config)
    if script is not None:
        (root / SCRIPT_FILE).write_bytes(script)
    return root


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_stored_service_is_read(tmp_path: Path) -> None:
    service = read_oscar_service(in_container(tmp_path, CONFIG, b"echo hi\n"), {})
    assert (service.name, service.script, service.log_level) == ("plants", "echo hi\n", "DEBUG")
    assert service.inputs == (Place("minio.default", "plants"),)
    assert service.outputs == (
        Output(provider="s3.default", bucket="bucket", folder="folder"),
        Output(provider="minio.test_minio", bucket="bucket", prefix=("result-",), suffix=("txt", "jpg")),
    )
    assert service.storage["minio.test_minio"]["endpoint"] == "http://h:9000"
    assert service.variables == {"RADIUS": "4", "FAST": "true"}
    assert service.own_buckets == {"alice", "bob"}
    assert service.stage_in
    assert service.timeout_s == math.inf


def test_without_a_file_the_variable_holds_the_service(tmp_path: Path) -> None:
    service = read_oscar_service(tmp_path, {"FUNCTION_CONFIG": encoded(CONFIG), "SCRIPT": encoded("fake script!")})
    assert (service.name, service.script) == ("plants", "fake script!")


def test_the_file_wins_over_the_variable_and_the_variable_over_the_script_file(tmp_path: Path) -> None:
    root = in_container(tmp_path, "name: from-file", b"from file")
    service = read_oscar_service(root, {"FUNCTION_CONFIG": encoded("name: no"), "SCRIPT": encoded("from variable")})
    assert (service.name, service.script) == ("from-file", "from variable")


def test_a_service_may_be_json(tmp_path: Path) -> None:
    assert read_oscar_service(tmp_path, {"FUNCTION_CONFIG": encoded('{"name": "json"}')}).name == "json"
    assert read_oscar_service(tmp_path, {"FUNCTION_CONFIG": encoded("{name: yaml}")}).name == "yaml"


def test_without_anything_there_is_a_service_without_a_script(tmp_path: Path) -> None:
    service = read_oscar_service(tmp_path, {"OSCAR_SERVICE_NAME": "named"})
    assert (service.name, service.script, service.inputs, service.outputs) == ("named", None, (), ())


def test_variables_win_over_the_keys_of_the_same_name(tmp_path: Path) -> None:
    root = in_container(tmp_path, "log_level: INFO\nexecution_mode: lambda\n")
    service = read_oscar_service(root, {"LOG_LEVEL": "CRITICAL", "EXECUTION_MODE": "batch", "FILE_STAGE_IN": "true"})
    assert (service.log_level, service.execution_mode, service.stage_in) == ("CRITICAL", "batch", True)
    service = read_oscar_service(root, {"LOG_LEVEL": ""})
    assert (service.log_level, service.execution_mode) == ("INFO", "lambda")


def test_a_script_in_another_encoding_keeps_its_bytes(tmp_path: Path) -> None:
    service = read_oscar_service(in_container(tmp_path, None, b"# caf\xe9\n"), {})
    assert service.script is not None
    assert service.script.encode("utf-8", "surrogateescape") == b"# caf\xe9\n"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("a: 1\nb: ]\n", "line 2: is no YAML"),
        ("- a list", "is no mapping"),
        ("output: minio", "output is no list"),
        ("output: [minio]", "output is no list"),
        ("output: [{path: a}]", r"output\[0\]: has no storage_provider"),
        ("input: [{storage_provider: minio, path: /}]", r"input\[0\]: has no path"),
        ("output: [{storage_provider: minio, path: a, prefix: {b: c}}]", "prefix is no list"),
        ("output: [{storage_provider: [minio], path: a}]", "storage_provider is a list"),
        ("storage_providers: [minio]", "storage_providers is no mapping"),
        ("storage_providers: {minio: {default: keys}}", "default is no mapping"),
        ("name: 2024-13-45 25:00:00", "is no YAML"),
        ("a: !!timestamp x", "is no YAML"),
        ("a: !!float _", "is no YAML"),
        ("a: !!bool x", "is no YAML"),
        ('{"a":' * 200_000, "nested more than 32 levels"),
        ("a: &a 1\nb: [" + "*a, " * 33 + "]", "more than 32 aliases"),
        ("x: !!python/object:os.system {}", "is no YAML"),
        ("a: " + "[" * 400_000 + "]" * 400_000, "nested more than 32 levels"),
        ("a" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_name(tmp_path: Path, config: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_oscar_service(in_container(tmp_path, config), {})
    assert str(caught.value).startswith(str(tmp_path / CONFIG_FILE))


def test_json_in_another_encoding_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^FUNCTION_CONFIG: is no YAML"):
        read_oscar_service(tmp_path, {"FUNCTION_CONFIG": base64.b64encode(b'{"a": "caf\xe9"}').decode()})


@pytest.mark.parametrize("variable", ["FUNCTION_CONFIG", "SCRIPT"])
def test_a_variable_that_is_no_base64_is_an_error(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"variable {variable} is no base64"):
        read_oscar_service(tmp_path, {variable: "%%%"})
