"""A real Kafka of one or three brokers on free ports of the loopback address, with data of its own.

In:  a directory, how many brokers. Out: brokers that are started, killed, paused one by one.
Not here: its jars (kafka_build.py), its properties (kafka_settings.py), topics (a test makes its own, by a prefix).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.certificates import make_certificates
from tests.testbed.kafka_build import kafka_jars
from tests.testbed.kafka_settings import USERS, Ports, properties
from tests.testbed.ports import free_port
from tests.testbed.server import Server

# Measured on two cores: 1.7 s from command to serving instead of 2.5 s with the optimising compiler.
STARTS_FAST = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# For tests that measure or run long: twice the records a second, short pauses.
RUNS_FAST = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
_LOGGING = """\
status = error
appender.o.type = Console
appender.o.name = o
appender.o.layout.type = PatternLayout
appender.o.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.o.ref = o
logger.a.name = kafka.server.KafkaRaftServer
logger.a.level = info
"""
_STARTED = b"Kafka Server started"


@dataclass
class KafkaBroker(Server):
    """One broker, and the controller in its process. properties: of its `server.properties`."""

    directory: Path
    number: int
    ports: Ports
    jvm: Sequence[str]
    properties: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _read_from: int = field(default=0, init=False)

    def launch(self) -> None:
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        self.run([*self._java("512m"), "kafka.Kafka", self._file], env=_environment())

    def is_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return _STARTED in log.read()

    def begin_formatting(self, cluster: str) -> subprocess.Popen[bytes]:
        """Start what makes its storage; the users of SCRAM are part of that."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file.write_text("".join(f"{name}={value}\n" for name, value in self.properties.items()))
        self._logging.write_text(_LOGGING)
        scrams = [
            word
            for name, password in USERS.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for word in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._java("128m"), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._file, *scrams],
                env=_environment(),
                stdout=subprocess.DEVNULL,  # keys and salts
                stderr=log,
            )

    @property
    def _file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _logging(self) -> Path:
        return self.directory / "log4j2.properties"

    def _java(self, heap: str) -> list[str | Path]:
        where = [f"-Dlog4j2.configurationFile={self._logging}", "-cp", f"{kafka_jars()}/*"]
        return ["java", f"-Xmx{heap}", *self.jvm, "-Djava.awt.headless=true", *where]


def _environment() -> dict[str, str]:
    """Return nothing but where Java is: variables of the shell would have it write and listen elsewhere."""
    return {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}


@dataclass
class KafkaCluster:
    """All brokers.

    secure: also SASL_SSL, for kafka_settings.USERS. proxied: a third listener that says it is at another port, where
    the test puts a link (toxiproxy.py) that leads to it. extra: more properties of each broker.
    """

    directory: Path
    size: int = 1
    secure: bool = False
    proxied: bool = False
    jvm: Sequence[str] = STARTS_FAST
    extra: Mapping[str, str] = field(default_factory=dict)
    brokers: list[KafkaBroker] = field(init=False)

    def __post_init__(self) -> None:
        ports = [self._ports() for _ in range(self.size)]
        self.brokers = [
            KafkaBroker(self.directory / f"broker{number}", number, of, self.jvm) for number, of in enumerate(ports, 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Return its addresses without security."""
        return ",".join(f"127.0.0.1:{broker.ports.plain}" for broker in self.brokers)

    @property
    def sasl_bootstrap(self) -> str:
        """Return its addresses for SASL_SSL."""
        assert self.secure
        return ",".join(f"127.0.0.1:{broker.ports.sasl}" for broker in self.brokers)

    @property
    def proxied_bootstrap(self) -> str:
        """Return where it says that its third listeners are."""
        assert self.proxied
        return ",".join(f"127.0.0.1:{broker.ports.proxied}" for broker in self.brokers)

    @property
    def ca(self) -> Path:
        """Return the certificate of the authority that vouches for SASL_SSL."""
        assert self.secure
        return self.directory / "tls" / "ca.pem"

    @property
    def users(self) -> Mapping[str, str]:
        """Return passwords by name."""
        return USERS

    def start(self) -> None:
        """Make its storage the first time; start all brokers at once and wait until they serve."""
        if not self.directory.exists():
            self._make()
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.await_ready()

    def kill(self) -> None:
        """Kill all that run."""
        for broker in self.brokers:
            if broker.process is not None:
                broker.kill()

    def _make(self) -> None:
        certificates = None
        self.directory.mkdir(parents=True)
        if self.secure:
            certificates = make_certificates(self.ca.parent)
            keystore = certificates.key.with_name("keystore.pem")
            keystore.write_bytes(certificates.key.read_bytes() + certificates.certificate.read_bytes())
        controllers = [broker.ports.controller for broker in self.brokers]
        # 16 bytes in base64; the zero keeps it from beginning with a dash, which its own tool takes for an option.
        cluster = urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        making = []
        for broker in self.brokers:
            data = broker.directory / "data"
            own = properties(broker.number, data, broker.ports, controllers, certificates)
            broker.properties = {**own, **self.extra}
            making.append((broker, broker.begin_formatting(cluster)))
        for broker, formatting in making:
            assert formatting.wait() == 0, broker.log.read_text()

    def _ports(self) -> Ports:
        return Ports(
            free_port(),
            free_port(),
            free_port() if self.secure else None,
            free_port() if self.proxied else None,
            free_port() if self.proxied else None,
        )


@contextlib.contextmanager
def running_kafka(
    directory: Path,
    brokers: int = 1,
    *,
    secure: bool = False,
    proxied: bool = False,
    jvm: Sequence[str] = STARTS_FAST,
    extra: Mapping[str, str] | None = None,
) -> Iterator[KafkaCluster]:
    """Start a cluster and end it with the block, whatever happened; directory: not there yet."""
    cluster = KafkaCluster(directory / "kafka", brokers, secure, proxied, jvm, extra or {})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()  # in order would take a second a broker, for data nobody reads again
