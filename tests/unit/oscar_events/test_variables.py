"""Settings in variables: which there are, which are refused, whose mistake is whose."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from oscar_events.cli.options import CONFIG_VARIABLE, DATA_VARIABLE
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.holder import EXECUTION_VARIABLE
from oscar_events.settings import Settings
from oscar_events.variables import fields, given, variable

BROKER = {"OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": "broker:9092"}
DATABASE = {"OSCAR_EVENTS_LEDGER__URL": "postgresql://me:canary@db/oscar"}
CLUSTER = BROKER | DATABASE


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / "data")


def write(directory: DataDirectory, text: str) -> None:
    directory.path.mkdir(exist_ok=True)
    directory.config.write_text(text)
    directory.config.chmod(0o600)


def settings(directory: DataDirectory, **variables: str) -> Settings:
    return load_config(directory, variables).settings


def refusal(directory: DataDirectory, variables: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_config(directory, variables)
    return getattr(refused.value, "report", "") or str(refused.value)


def test_variables_alone_make_a_cluster(directory: DataDirectory) -> None:
    found = settings(directory, **CLUSTER, OSCAR_EVENTS_KAFKA__TOPICS__RETENTION="3d")
    assert found.is_cluster
    assert found.kafka is not None
    assert (found.kafka.bootstrap_servers, found.kafka.topics.retention.days) == ("broker:9092", 3)


def test_a_variable_wins_over_the_file_which_wins_over_the_default(directory: DataDirectory) -> None:
    write(directory, "ingest: {listen: 'here:1', drain: 3s}")
    config = load_config(directory, {"OSCAR_EVENTS_INGEST__LISTEN": "there:2"})
    assert config.settings.ingest.listen == "there:2"
    assert config.settings.ingest.drain.total_seconds() == 3
    assert config.settings.dispatcher == Settings().dispatcher
    assert config.origins == {
        ("ingest", "listen"): "OSCAR_EVENTS_INGEST__LISTEN",
        ("ingest", "drain"): "config.yaml, line 1",
    }


def test_a_variable_takes_the_place_of_the_other_way_to_say_the_same(directory: DataDirectory) -> None:
    write(directory, "kafka: {bootstrap_servers: 'a:1'}\nledger: {url_file: url}")
    found = settings(directory, **DATABASE)
    assert found.ledger is not None
    assert found.ledger.url_file is None
    assert found.ledger.url is not None


def test_files_lie_beside_the_one_that_names_them_or_below_the_working_directory(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write(directory, "kafka: {bootstrap_servers: 'a:1', ca_file: ca.pem}\nledger: {url_file: /run/url}")
    found = settings(directory)
    assert found.kafka is not None
    assert found.ledger is not None
    assert (found.kafka.ca_file, found.ledger.url_file) == (directory.path / "ca.pem", Path("/run/url"))
    named = settings(directory, OSCAR_EVENTS_KAFKA__CA_FILE="other.pem").kafka
    assert named is not None
    assert named.ca_file == tmp_path / "other.pem"


def test_an_empty_variable_is_none(directory: DataDirectory) -> None:
    assert settings(directory, OSCAR_EVENTS_INGEST__LISTEN="") == Settings()


def test_a_misspelt_variable_is_refused_with_the_one_it_may_be(directory: DataDirectory) -> None:
    told = refusal(directory, {"OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVER": "x", "OSCAR_EVENTS_ZZZ": "1"})
    assert "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVER is no setting; rename it to OSCAR_EVENTS_KAFKA__BOOTSTRAP_SER" in told
    assert "OSCAR_EVENTS_ZZZ is no setting" in told


def test_what_other_parts_and_kubernetes_set_is_no_mistake() -> None:
    of_kubernetes = (
        *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"),
        *("INGEST_SERVICE_HOST", "INGEST_PORT_8080_TCP_PROTO", "DISPATCHER_SERVICE_PORT_METRICS"),
    )
    ours = (DATA_VARIABLE, CONFIG_VARIABLE, EXECUTION_VARIABLE, "OSCAR_EVENTS_ATTEMPT", "_OSCAR_EVENTS_COMPLETE")
    assert given(dict.fromkeys([*ours, *(f"OSCAR_EVENTS_{name}" for name in of_kubernetes), "PATH"], "x")) == {}


def test_no_setting_has_a_name_that_kubernetes_may_set() -> None:
    for name in map(variable, fields()):
        assert given({name: "x"}), name
        assert not name.endswith(("_PORT", "_SERVICE_HOST", "_SERVICE_PORT")), name


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            CLUSTER | {"OSCAR_EVENTS_KAFKA__TOPICS__PARTITIONS": "many"},
            "found the text many; expected a whole number",
        ),
        (CLUSTER | {"OSCAR_EVENTS_KAFKA__TOPICS__PARTITIONS": "0"}, "a number of at least 1"),
        (
            CLUSTER | {"OSCAR_EVENTS_KAFKA__COMPRESSION": "lz5"},
            "expected one of none, gzip, snappy, lz4, zstd",
        ),
        ({"OSCAR_EVENTS_INGEST__LISTEN": "8080"}, "expected host:port, like 0.0.0.0:8080"),
        ({"OSCAR_EVENTS_INGEST__LISTEN": "a:99999"}, "found the text a:99999"),
        ({"OSCAR_EVENTS_RETENTION__RUNS": "1 month"}, "seconds, or a number with s, m, h or d"),
        ({"OSCAR_EVENTS_KAFKA__TOPIC_PREFIX": "a-"}, "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS: found no bootstrap_serv"),
        (BROKER, "the variables OSCAR_EVENTS_KAFKA__...: found kafka, and no ledger; expected both"),
        (BROKER | {"OSCAR_EVENTS_LEDGER__CONNECTIONS": "3"}, "neither url nor url_file"),
        (CLUSTER | {"OSCAR_EVENTS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_SSL and no password"),
        (CLUSTER | {"OSCAR_EVENTS_KAFKA__SASL_USERNAME": "me"}, "SASL_PLAINTEXT, or no sasl_username and password"),
        (CLUSTER | {"OSCAR_EVENTS_KAFKA__CERTIFICATE_FILE": "c"}, "certificate_file alone"),
        (CLUSTER | {"OSCAR_EVENTS_RETENTION__TOMBSTONES": "13d"}, "TOMBSTONES: found 13d; expected at least 14d"),
        (CLUSTER | {"OSCAR_EVENTS_KAFKA__TOPICS__RETENTION": "90d"}, "TOMBSTONES: found 60d; expected at least 97d"),
        ({"OSCAR_EVENTS_RETENTION__RUNS": "61d"}, "at least 61d, for which retention.runs shows their details"),
    ],
)
def test_a_mistake_in_variables_names_the_variable_what_was_found_and_what_would_be_right(
    directory: DataDirectory, variables: dict[str, str], said: str
) -> None:
    told = refusal(directory, variables)
    assert said in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka: {bootstrap_servers: 'a:1'}", "line 1: kafka"),
        ("retention:\n  runs: 90d", "+ 3:   tombstones: 90d"),
        ("retention:\n  tombstones: 3d", "- 2:   tombstones: 3d\n  + 2:   tombstones: 30d"),
        ("ingest:\n  listn: 'a:1'", "+ 2:   listen: 'a:1'"),
        ("ledger: {url: 5}\nkafka: {bootstrap_servers: 'a:1'}", "ledger.url"),
        ("dispatcher: 3", "a mapping of keys to values"),
    ],
)
def test_a_mistake_in_the_file_is_told_by_its_line_with_the_change(
    directory: DataDirectory, text: str, said: str
) -> None:
    write(directory, text)
    assert said in refusal(directory, {})


def test_a_mistake_of_the_file_is_not_blamed_on_a_variable_and_the_reverse(directory: DataDirectory) -> None:
    write(directory, "ingest: {drain: never}")
    assert "config.yaml, line 1: ingest.drain" in refusal(directory, {"OSCAR_EVENTS_INGEST__LISTEN": "a:1"})
    write(directory, "ingest: {drain: 1s}")
    told = refusal(directory, {"OSCAR_EVENTS_INGEST__LISTEN": "a"})
    assert told.startswith("the variable OSCAR_EVENTS_INGEST__LISTEN")


@pytest.mark.parametrize("text", ["ledger: {url: 'postgresql://me:canary@db/x'}", "ledger: {url_file: u}"])
def test_a_file_with_a_password_in_it_is_for_nobody_else_to_read(directory: DataDirectory, text: str) -> None:
    write(directory, f"kafka: {{bootstrap_servers: 'a:1'}}\n{text}")
    directory.config.chmod(0o644)
    if "canary" in text:
        assert "chmod 600" in refusal(directory, {})
    settings(directory, **DATABASE)  # what a variable says instead is not in the file


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    assert "other.yaml is not there" in refusal(DataDirectory(tmp_path, tmp_path / "other.yaml"), {})


def test_every_section_has_a_purpose_and_every_field_a_text() -> None:
    from oscar_events.cli.settings_page import field_texts
    from oscar_events.variables import section_of

    sections = [Settings]
    for section in sections:
        purpose, texts = field_texts(section)
        assert purpose, section
        assert set(texts) == set(section.model_fields), (section, inspect.getdoc(section))
        found = (section_of(field.annotation) for field in section.model_fields.values())
        sections += [one for one in found if one is not None]  # type: ignore[misc] # every model of the settings
