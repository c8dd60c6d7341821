"""What a broker of the testbed is told: small, quick to start, and nothing it would do behind a test's back.

In:  where it is, what it shall offer. Out: the lines of its `server.properties`. Pure.
Not here: running it (kafka.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.certificates import Certificates

# Who may log in on SASL_SSL, by PLAIN and SCRAM.
USERS: Mapping[str, str] = {"admin": "admin-secret", "alice": "alice-secret"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Of one broker. sasl: None without SASL_SSL. behind, proxied: where the third listener is, and says it is."""

    plain: int
    controller: int
    sasl: int | None = None
    behind: int | None = None
    proxied: int | None = None


def properties(
    number: int, data: Path, ports: Ports, controllers: Sequence[int], certificates: Certificates | None
) -> dict[str, str]:
    """Return a broker's properties. number: from 1. controllers: ports of all brokers' controllers, in order."""
    brokers = len(controllers)
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(
            f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, start=1)
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        **_listeners(ports),
        **(_security(certificates) if certificates else {}),
        # Topics are made by `oscar-events topics create` or by the test, never by a mistyped name.
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(brokers),
        "min.insync.replicas": str((brokers + 1) // 2),
        "offsets.topic.replication.factor": str(brokers),
        "transaction.state.log.replication.factor": str(brokers),
        "transaction.state.log.min.isr": str((brokers + 1) // 2),
        "share.coordinator.state.topic.replication.factor": str(brokers),
        "share.coordinator.state.topic.min.isr": str((brokers + 1) // 2),
        # As few as there can be and groups still have several coordinators: each is a directory to open at a start.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.num.partitions": "2",
        # A group of a test is complete at once; waiting 3 s for more members is for deployments.
        "group.initial.rebalance.delay.ms": "0",
        # Until a killed broker is missed, and not taken back before: every kill costs as much. By default 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Two cores, few clients, small disks.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": "33554432",
        "log.segment.bytes": "134217728",
    }


def _listeners(ports: Ports) -> dict[str, str]:
    at = {"PLAINTEXT": ports.plain, "CONTROLLER": ports.controller, "SASL_SSL": ports.sasl, "PROXIED": ports.behind}
    told = {"PLAINTEXT": ports.plain, "SASL_SSL": ports.sasl, "PROXIED": ports.proxied}
    spoken = {"PROXIED": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in at.items() if port),
        "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in told.items() if port),
        "listener.security.protocol.map": ",".join(f"{name}:{spoken.get(name, name)}" for name in at),
    }


def _security(certificates: Certificates) -> dict[str, str]:
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    login = "org.apache.kafka.common.security"
    of = "listener.name.sasl_ssl"
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"{of}.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required {users};",
        f"{of}.scram-sha-256.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        f"{of}.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.key.with_name("keystore.pem")),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
    }
