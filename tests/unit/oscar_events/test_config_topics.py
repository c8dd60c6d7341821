"""Sources of type kafka in config.yaml: which broker, which topic, which group."""

from __future__ import annotations

from pathlib import Path

import pytest

from oscar_events.config import SourceTopic, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError

PLATFORM = """
kafka: {bootstrap_servers: "ours:9092", topic_prefix: lab.}
ledger: {url: "postgresql://u:canary@db/oscar"}
"""
OWN = 'kafka: {bootstrap_servers: "theirs:9093", security_protocol: SASL_SSL, sasl_username: me'


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


def topic(directory: DataDirectory, source: str, platform: str = "") -> SourceTopic:
    directory.config.write_text(f"sources: {{uploads: {{{source}}}}}\n{platform}")
    directory.config.chmod(0o600)
    found = load_config(directory, {}).sources["uploads"].topic
    assert found is not None
    return found


def test_a_topic_is_read_from_the_platforms_own_broker_under_its_own_name(directory: DataDirectory) -> None:
    found = topic(directory, "type: kafka, topic: minio-events, provider: minio", PLATFORM)
    assert (found.name, found.broker.bootstrap_servers, found.broker.topic_prefix) == ("minio-events", "ours:9092", "")


def test_two_platforms_on_one_broker_read_a_topic_in_groups_of_their_own(directory: DataDirectory) -> None:
    source = "type: kafka, topic: minio-events, provider: minio"
    assert topic(directory, source, PLATFORM).group == "lab.oscar-ingest-uploads"
    assert topic(directory, f"{source}, group: shared", PLATFORM).group == "shared"


def test_a_laptop_names_the_broker_in_the_source(directory: DataDirectory) -> None:
    source = f"type: kafka, topic: t, provider: minio, {OWN}, sasl_password_file: password, ca_file: /etc/ca.pem}}"
    found = topic(directory, source)
    assert (found.broker.bootstrap_servers, found.group) == ("theirs:9093", "oscar-ingest-uploads")
    assert found.broker.sasl_password_file == directory.path / "password"
    assert found.broker.ca_file == Path("/etc/ca.pem")


def test_a_password_in_the_file_makes_it_a_secret(directory: DataDirectory) -> None:
    source = f"type: kafka, topic: t, provider: minio, {OWN}, sasl_password: canary}}"
    assert "canary" not in repr(topic(directory, source))
    directory.config.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_config(directory, {})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("type: kafka, provider: minio", "no topic"),
        ("type: kafka, provider: minio, topic: t", "no broker is known"),
        ("type: kafka, provider: minio, topic: 'a topic'", "topic"),
        ("type: kafka, provider: minio, topic: t, tokens: [canary-0123456789abcdef]", "no token"),
        (f"type: kafka, provider: minio, topic: t, {OWN}}}", "SASL_SSL and no password"),
        ("provider: minio, topic: t, tokens: [canary-0123456789abcdef]", "type: kafka"),
        ("type: kafka, provider: minio, topic: t, kafka: {bootstrap_server: 'a:1'}", "bootstrap_servers"),
    ],
)
def test_a_mistake_in_it_is_told_without_any_secret(directory: DataDirectory, source: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        topic(directory, source)
    assert said in str(told.value)
    assert "canary" not in str(told.value)
