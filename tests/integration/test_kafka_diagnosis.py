"""What is told of a real broker that cannot be used: each reason apart, with the setting to change, never a secret."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from oscar_events.bus import kafka_diagnosis
from oscar_events.bus.kafka_diagnosis import cause
from oscar_events.errors import BusError, ConfigurationError
from oscar_events.settings import KafkaSettings
from tests.testbed.kafka import KafkaCluster, running_kafka

CANARY = "canary-sesame"


def plain(kafka: KafkaCluster, **changed: Any) -> KafkaSettings:
    return KafkaSettings(**{"bootstrap_servers": kafka.bootstrap, **changed})


def secure(kafka: KafkaCluster, **changed: Any) -> KafkaSettings:
    """Settings that are right, but for what is changed."""
    right = {
        "bootstrap_servers": kafka.sasl_bootstrap,
        "security_protocol": "SASL_SSL",
        "sasl_username": "alice",
        "sasl_password": SecretStr(kafka.users["alice"]),
        "ca_file": kafka.ca,
    }
    return KafkaSettings(**{**right, **changed})


async def told(settings: KafkaSettings, kind: type[Exception]) -> str:
    error = await cause(settings)
    assert type(error) is kind, error
    assert "secret" not in str(error)
    assert CANARY not in str(error)
    return str(error)


def port_of(servers: str) -> int:
    return int(servers.rpartition(":")[2])


@asynccontextmanager
async def forwarding(
    to_port: int, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Yield an address that leads to the broker's port; context: TLS that ends here."""

    links: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(65536):
                writer.write(some)
                await writer.drain()
        writer.close()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to_port)
        try:
            await asyncio.gather(copy(reader, back), copy(there, writer))
        finally:
            for end in (writer, back):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.add(asyncio.create_task(link(reader, writer)))

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for one in links:
            one.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def test_a_broker_that_answers_by_now_is_told_so(kafka: KafkaCluster) -> None:
    for settings in (plain(kafka), secure(kafka), secure(kafka, sasl_mechanism="PLAIN")):
        assert "answers now; try again" in await told(settings, BusError)


async def test_nobody_there() -> None:
    said = await told(KafkaSettings(bootstrap_servers="127.0.0.1:1"), BusError)
    assert said.startswith("nobody listens on 127.0.0.1:1 (connection refused)")


async def test_a_name_nobody_knows() -> None:
    said = await told(KafkaSettings(bootstrap_servers="no-such-broker.invalid:9092"), BusError)
    assert "the name no-such-broker.invalid is not known" in said
    assert "kafka.bootstrap_servers" in said


async def test_a_broker_that_hangs_is_told_as_silent(
    kafka_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_diagnosis, "_PATIENCE_MS", 300)
    with running_kafka(tmp_path) as cluster:
        cluster.brokers[0].pause()
        try:
            said = await told(plain(cluster), BusError)
        finally:
            cluster.brokers[0].resume()
    assert f"{cluster.bootstrap} does not answer: a firewall" in said


async def test_of_several_addresses_all_are_told(kafka: KafkaCluster) -> None:
    said = await told(plain(kafka, bootstrap_servers="127.0.0.1:1,127.0.0.1:2"), BusError)
    assert "127.0.0.1:1 " in said
    assert "127.0.0.1:2 " in said


async def test_what_a_person_has_to_change_is_told_before_what_may_pass(kafka: KafkaCluster) -> None:
    servers = f"127.0.0.1:1,{kafka.sasl_bootstrap}"
    said = await told(secure(kafka, bootstrap_servers=servers, sasl_password=SecretStr(CANARY)), ConfigurationError)
    assert "refuses the user 'alice' or the password" in said


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("user", ["alice", "nobody"])
async def test_a_wrong_user_or_password(kafka: KafkaCluster, mechanism: str, user: str) -> None:
    wrong = secure(kafka, sasl_mechanism=mechanism, sasl_username=user, sasl_password=SecretStr(CANARY))
    said = await told(wrong, ConfigurationError)
    assert f"refuses the user '{user}' or the password ({mechanism})" in said
    assert "kafka.sasl_password" in said


async def test_a_password_from_a_file_is_used_and_never_told(kafka: KafkaCluster, tmp_path: Path) -> None:
    file = tmp_path / "password"
    from_file = secure(kafka, sasl_password=None, sasl_password_file=file)
    said = await told(from_file, ConfigurationError)
    assert f"kafka.sasl_password_file: cannot use {file}: No such file" in said
    file.write_text("")
    assert "is empty" in await told(from_file, ConfigurationError)
    file.write_text(CANARY + "\n")
    assert "refuses the user" in await told(from_file, ConfigurationError)
    file.write_text(kafka.users["alice"] + "\n")
    assert "answers now" in await told(from_file, BusError)


@pytest.mark.parametrize("missing", ["sasl_username", "sasl_password"])
async def test_a_missing_name_or_password(kafka: KafkaCluster, missing: str) -> None:
    assert f"kafka.{missing} is missing" in await told(secure(kafka, **{missing: None}), ConfigurationError)


async def test_tls_spoken_to_a_port_without_it(kafka: KafkaCluster) -> None:
    said = await told(plain(kafka, security_protocol="SSL", ca_file=kafka.ca), ConfigurationError)
    assert f"{kafka.bootstrap} speaks PLAINTEXT, and kafka.security_protocol is SSL" in said


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
async def test_a_port_with_tls_and_passwords_spoken_to_otherwise(kafka: KafkaCluster, protocol: str) -> None:
    said = await told(secure(kafka, security_protocol=protocol), ConfigurationError)
    assert f"{kafka.sasl_bootstrap} speaks SASL_SSL, and kafka.security_protocol is {protocol}" in said
    assert "set it to SASL_SSL" in said
    assert ("kafka.sasl_username and kafka.sasl_password" in said) == (protocol != "SASL_PLAINTEXT")
    assert ("kafka.ca_file" in said) == (protocol != "SSL")


async def test_passwords_sent_to_a_port_that_wants_none(kafka: KafkaCluster) -> None:
    said = await told(
        secure(kafka, bootstrap_servers=kafka.bootstrap, security_protocol="SASL_PLAINTEXT"), ConfigurationError
    )
    assert f"{kafka.bootstrap} speaks PLAINTEXT, and kafka.security_protocol is SASL_PLAINTEXT" in said


async def test_an_authority_this_machine_does_not_know(kafka: KafkaCluster) -> None:
    said = await told(secure(kafka, ca_file=None), ConfigurationError)
    assert "that no CA that this machine trusts has signed" in said
    assert "set kafka.ca_file" in said


async def test_another_authority_than_the_brokers(kafka: KafkaCluster, tmp_path: Path) -> None:
    other = certificate(tmp_path, "other")
    said = await told(secure(kafka, ca_file=other), ConfigurationError)
    assert f"of kafka.ca_file ({other})" in said


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authority_that_cannot_be_read(kafka: KafkaCluster, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    assert f"kafka.ca_file: cannot use {file}" in await told(secure(kafka, ca_file=file), ConfigurationError)


async def test_a_certificate_for_another_name(kafka: KafkaCluster) -> None:
    async with forwarding(port_of(kafka.sasl_bootstrap), "127.0.0.2") as elsewhere:
        said = await told(secure(kafka, bootstrap_servers=elsewhere), ConfigurationError)
    assert f"{elsewhere} shows a certificate that is for another name" in said
    assert "127.0.0.2" in said


async def test_a_certificate_whose_time_is_over(kafka: KafkaCluster, tmp_path: Path) -> None:
    expired = certificate(tmp_path, "expired", ends="20200102000000Z")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired, tmp_path / "expired.key")
    async with forwarding(port_of(kafka.bootstrap), context=context) as before_the_broker:
        settings = plain(kafka, bootstrap_servers=before_the_broker, security_protocol="SSL", ca_file=expired)
        said = await told(settings, ConfigurationError)
    assert "has expired; renew the broker's certificate" in said


async def test_a_broker_that_wants_a_certificate_of_its_clients(kafka_here: Path, tmp_path: Path) -> None:
    wanted = {"listener.name.sasl_ssl.ssl.client.auth": "required"}
    with running_kafka(tmp_path, secure=True, extra=wanted) as cluster:
        said = await told(secure(cluster), ConfigurationError)
        assert "looks at the certificates of its clients and wants one; set kafka.certificate_file" in said
        own = certificate(tmp_path, "own")
        stranger = secure(cluster, certificate_file=own, certificate_key_file=tmp_path / "own.key")
        assert f"takes another certificate than that of kafka.certificate_file ({own})" in await told(
            stranger, ConfigurationError
        )
        tls = cluster.ca.parent
        trusted = secure(cluster, certificate_file=tls / "server.pem", certificate_key_file=tls / "server.key")
        assert "answers now" in await told(trusted, BusError)


async def test_a_certificate_of_ours_that_cannot_be_used(kafka: KafkaCluster, tmp_path: Path) -> None:
    one, another = certificate(tmp_path, "one"), certificate(tmp_path, "another")
    mixed = secure(kafka, certificate_file=one, certificate_key_file=another.with_suffix(".key"))
    assert f"kafka.certificate_file: cannot use {one}" in await told(mixed, ConfigurationError)


async def test_a_mechanism_that_is_not_offered(kafka_here: Path, tmp_path: Path) -> None:
    with running_kafka(tmp_path, secure=True, extra={"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512"}) as cluster:
        said = await told(secure(cluster, sasl_mechanism="SCRAM-SHA-256"), ConfigurationError)
    assert "does not offer the SASL mechanism SCRAM-SHA-256" in said
    assert "kafka.sasl_mechanism to one it offers: PLAIN, SCRAM-SHA-512" in said


async def test_a_broker_that_sends_its_clients_where_nobody_is(kafka_here: Path, tmp_path: Path) -> None:
    # Behind a proxy, and nobody has put the proxy where the broker says that it is.
    with running_kafka(tmp_path, proxied=True) as cluster:
        behind = f"127.0.0.1:{cluster.brokers[0].ports.behind}"
        said = await told(KafkaSettings(bootstrap_servers=behind), BusError)
    assert f"the broker at {behind} sends its clients to {cluster.proxied_bootstrap} (its advertised.listeners)" in said


async def test_what_is_no_broker_at_all() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "no Kafka broker" in await told(KafkaSettings(bootstrap_servers=where), BusError)


@pytest.mark.parametrize("servers", ["kafka:port", "kafka:0", "kafka:99999", ",", ":9092"])
async def test_what_is_no_address(servers: str) -> None:
    said = await told(KafkaSettings(bootstrap_servers=servers), ConfigurationError)
    assert "kafka.bootstrap_servers" in said
    assert "host:port" in said


_AUTHORITY = """\
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
x509_extensions = more
[names]
commonName = supplied
[more]
subjectAltName = IP:127.0.0.1
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,digitalSignature
"""


def certificate(directory: Path, name: str, ends: str = "20991231000000Z") -> Path:
    """Make a certificate for 127.0.0.1 that vouches for itself, from 2020 on."""
    (directory / "authority.conf").write_text(_AUTHORITY)
    (directory / "index").touch()
    key, request, made = (f"{name}.{suffix}" for suffix in ("key", "request", "pem"))
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)
    signing = ("-selfsign", "-keyfile", key, "-batch", "-startdate", "20200101000000Z", "-enddate", ends)
    for words in (
        ("req", *new_key, "-subj", "/CN=127.0.0.1", "-out", request),
        ("ca", "-config", "authority.conf", *signing, "-in", request, "-notext", "-out", made),
    ):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    return directory / made
