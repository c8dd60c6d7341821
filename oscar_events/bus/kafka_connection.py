"""How every client of ours reaches the broker: addresses, TLS, who we are.

In:  `KafkaSettings`. Out: the arguments that aiokafka's clients share.
Not here: what a client does once it is connected (kafka.py), why it could not (kafka_diagnosis.py).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from aiokafka.conn import collect_hosts

from oscar_events.errors import ConfigurationError
from oscar_events.settings import KafkaSettings


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments. Raises ConfigurationError for a file that cannot be used, or what is missing.

    Reads the files each time: a certificate or password that was replaced is used by the next client.
    """
    addresses(settings)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if speaks_tls(settings):
        options["ssl_context"] = tls_context(settings)
    if speaks_sasl(settings):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"], options["sasl_plain_password"] = credentials(settings)
    return options


def addresses(settings: KafkaSettings) -> list[tuple[str, int]]:
    """Return host and port of each bootstrap server, in the order they were given."""
    try:
        found = [(host, port) for host, port, _ in collect_hosts(settings.bootstrap_servers, randomize=False)]
        if all(host and 0 < port < 65536 for host, port in found):
            return found
    except ValueError:
        pass
    raise ConfigurationError(
        f"kafka.bootstrap_servers: {settings.bootstrap_servers!r} is no list of addresses; "
        "write host:port, several separated by commas, like broker-1:9092,broker-2:9092"
    )


def speaks_tls(settings: KafkaSettings) -> bool:
    """Return whether the connection is encrypted."""
    return settings.security_protocol.endswith("SSL")


def speaks_sasl(settings: KafkaSettings) -> bool:
    """Return whether we say who we are by name and password."""
    return settings.security_protocol.startswith("SASL")


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return what the broker's certificate is held against: `ca_file`, else what this machine trusts."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("ca_file", settings.ca_file, error, "the CA's certificates in PEM") from error
    if settings.certificate_file is None:
        return context
    try:
        context.load_cert_chain(settings.certificate_file, settings.certificate_key_file)
    except (OSError, ssl.SSLError) as error:
        wanted = "our certificate in PEM, with its key in it or in kafka.certificate_key_file"
        raise _unusable("certificate_file", settings.certificate_file, error, wanted) from error
    return context


def credentials(settings: KafkaSettings) -> tuple[str, str]:
    """Return user name and password."""
    if not settings.sasl_username:
        raise ConfigurationError(
            f"kafka.sasl_username is missing, and kafka.security_protocol is {settings.security_protocol}; set it"
        )
    if settings.sasl_password is not None:
        return settings.sasl_username, settings.sasl_password.get_secret_value()
    if settings.sasl_password_file is None:
        raise ConfigurationError("kafka.sasl_password is missing; set it, or kafka.sasl_password_file")
    try:
        password = settings.sasl_password_file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        wanted = "the password in a line of text"
        raise _unusable("sasl_password_file", settings.sasl_password_file, error, wanted) from error
    if not password:
        raise ConfigurationError(f"kafka.sasl_password_file: {settings.sasl_password_file} is empty")
    return settings.sasl_username, password


def _unusable(setting: str, path: Path | None, error: Exception, wanted: str) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigurationError(f"kafka.{setting}: cannot use {path}: {why}; it should hold {wanted}")
