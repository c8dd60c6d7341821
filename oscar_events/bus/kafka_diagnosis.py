"""Why the broker does not answer, in words that name the setting to change.

In:  `KafkaSettings` that a client failed with. Out: the error to raise: a ConfigurationError where only a person can
mend it, a BusError where waiting may.
Not here: trying again (patience.py), what a broker that answers refuses (kafka.py, kafka_topics.py).

aiokafka says `Unable to bootstrap` for all of it and leaves the reason to its log, so each address is tried once more
here, step by step as a client would. No message holds a secret; none is sent to a server whose certificate was not
found good.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import errors as kafka
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from oscar_events.bus.kafka_connection import addresses, connection_options, speaks_sasl, speaks_tls, tls_context
from oscar_events.errors import BusError, ConfigurationError, OscarEventsError
from oscar_events.settings import KafkaSettings

# A broker answers in milliseconds, one behind a slow line within a second or two; the caller has waited already.
_PATIENCE_MS = 3000
# Which of OpenSSL's X509_V_ERR_* a certificate that was not found good has (openssl-verification-options).
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
_FAILURES = (OSError, kafka.KafkaError, TimeoutError, EOFError)
# What a client finds that spoke otherwise than the listener does, or was hung up on.
_BROKEN = (kafka.KafkaConnectionError, kafka.IllegalSaslStateError, ConnectionError, ssl.SSLError, EOFError)


async def cause(settings: KafkaSettings, waited_s: float = 0.0) -> OscarEventsError:
    """Return why no client can be had with these settings; a BusError that says so if one can be had by now.

    Takes up to 3 s per step. waited_s: how long the client had tried before.
    """
    begun = time.monotonic()
    try:
        options = connection_options(settings)
        at_each = (_at(host, port, settings, options) for host, port in addresses(settings))
        found = await asyncio.gather(*at_each)
    except ConfigurationError as error:
        return error
    # What a person has to change is told before what may pass by itself; of several addresses one may be outdated.
    found = sorted(found, key=lambda error: isinstance(error, BusError))
    if isinstance(found[0], BusError):
        seconds = waited_s + time.monotonic() - begun
        tried = f" (tried for {seconds:.0f} s)" if seconds >= 1 else ""
        return BusError("; ".join(dict.fromkeys(map(str, found))) + tried)
    return found[0]


async def _at(host: str, port: int, settings: KafkaSettings, options: dict[str, Any]) -> OscarEventsError:
    own = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    where = f"{host}:{port}"
    try:
        async with _connection(host, port, **own) as connection:
            answer = await connection.send(MetadataRequest([]))
            brokers = [(broker[1], broker[2]) for broker in answer.brokers]
    except _FAILURES as error:
        return await _reason(error, host, port, settings)
    for other in brokers:
        if other == (host, port):
            continue
        try:
            async with _connection(*other, **own):
                continue
        except _FAILURES as error:
            reason = await _reason(error, *other, settings)
            said = f"the broker at {where} sends its clients to {other[0]}:{other[1]} (its advertised.listeners), and "
            return type(reason)(said + str(reason))
    return BusError(f"the broker at {where} answers now; try again")


async def _reason(error: Exception, host: str, port: int, settings: KafkaSettings) -> OscarEventsError:
    where = f"{host}:{port}"
    match error:
        case socket.gaierror():
            return BusError(
                f"the name {host} is not known to this machine's resolver ({error.strerror}); "
                "correct kafka.bootstrap_servers, or wait if the broker's name is still to come"
            )
        case TimeoutError():
            return BusError(
                f"{where} does not answer: a firewall drops what is sent there, the machine is off, or the broker "
                "hangs; check kafka.bootstrap_servers and the way there"
            )
        case ConnectionRefusedError():
            return BusError(
                f"nobody listens on {where} (connection refused); start the broker or correct kafka.bootstrap_servers"
            )
        case ssl.SSLCertVerificationError():
            return _certificate(error, where, settings)
        case kafka.SaslAuthenticationFailed():
            return ConfigurationError(
                f"the broker at {where} refuses the user {settings.sasl_username!r} or the password "
                f"({settings.sasl_mechanism}); correct kafka.sasl_username and kafka.sasl_password"
            )
        case kafka.UnsupportedSaslMechanismError():
            return await _mechanism(host, port, settings)
        case _ if isinstance(error, _BROKEN):
            return await _protocol(error, host, port, settings)
        case OSError():
            return BusError(f"{where} cannot be reached: {error.strerror or error}; check kafka.bootstrap_servers")
    return BusError(f"the broker at {where} answers {type(error).__name__}: {error}")


def _certificate(error: ssl.SSLCertVerificationError, where: str, settings: KafkaSettings) -> ConfigurationError:
    why = f"{where} shows a certificate that"
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return ConfigurationError(f"{why} {when}; renew the broker's certificate (or set this machine's clock)")
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return ConfigurationError(
            f"{why} is for another name ({error.verify_message.rstrip('.')}); write in kafka.bootstrap_servers a name "
            "that is in the certificate, or have the broker's certificate name this one"
        )
    trusted = f"of kafka.ca_file ({settings.ca_file})" if settings.ca_file else "that this machine trusts"
    return ConfigurationError(
        f"{why} no CA {trusted} has signed ({error.verify_message}); set kafka.ca_file to the CA of the broker"
    )


async def _mechanism(host: str, port: int, settings: KafkaSettings) -> ConfigurationError:
    offered = await _offer(host, port, _unchecked() if speaks_tls(settings) else None) or []
    return ConfigurationError(
        f"the broker at {host}:{port} does not offer the SASL mechanism {settings.sasl_mechanism}; set "
        f"kafka.sasl_mechanism to one it offers: {', '.join(sorted(offered)) or 'none'}"
    )


async def _protocol(error: Exception, host: str, port: int, settings: KafkaSettings) -> OscarEventsError:
    """Return what is spoken there, if it is not what the settings say; else that the connection breaks."""
    where = f"{host}:{port}"
    for context in (None, _unchecked()):
        mechanisms = await _offer(host, port, context)
        if mechanisms is None:
            continue
        spoken = ("SASL_" if mechanisms else "") + ("SSL" if context else "PLAINTEXT")
        if spoken != settings.security_protocol:
            return ConfigurationError(
                f"{where} speaks {spoken}, and kafka.security_protocol is {settings.security_protocol}; set it to "
                f"{spoken}{_needed(spoken, settings)}"
            )
    if speaks_tls(settings) and await asyncio.to_thread(_wants_certificate, host, port, settings):
        own = settings.certificate_file
        refused = f"takes another certificate than that of kafka.certificate_file ({own})" if own else "wants one"
        return ConfigurationError(
            f"the broker at {where} looks at the certificates of its clients and {refused}; set "
            "kafka.certificate_file and kafka.certificate_key_file to one that its CA has signed"
        )
    return BusError(
        f"{where} breaks connections off ({_said(error)}): the broker is starting or stopping, or what listens there "
        "is no Kafka broker; check kafka.bootstrap_servers"
    )


def _wants_certificate(host: str, port: int, settings: KafkaSettings) -> bool:
    """Tell whether a listener ends TLS for want of a certificate: asyncio does not say why the other side ended it."""
    seconds = _PATIENCE_MS / 1000
    try:
        with (
            socket.create_connection((host, port), seconds) as plain,
            tls_context(settings).wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            encrypted.recv(1)  # with TLS 1.3 the handshake is over for us before the other side has looked
    except ssl.SSLError as error:
        return "CERTIFICATE" in (error.reason or "")
    except OSError:
        pass
    return False


def _needed(spoken: str, settings: KafkaSettings) -> str:
    """Return what else is to be set then."""
    needed = []
    if spoken.endswith("SSL") and not speaks_tls(settings):
        needed.append("kafka.ca_file")
    if spoken.startswith("SASL") and not speaks_sasl(settings):
        needed.append("kafka.sasl_username and kafka.sasl_password")
    return f", with {' and '.join(needed)}" if needed else ", or name a port where the other is spoken"


def _said(error: BaseException) -> str:
    return str(error.__cause__ or error) or type(error).__name__


async def _offer(host: str, port: int, context: ssl.SSLContext | None) -> list[str] | None:
    """Return the SASL mechanisms that a listener offers, none if it wants no SASL; None if it speaks no Kafka so."""
    try:
        async with _connection(
            host, port, security_protocol="SSL" if context else "PLAINTEXT", ssl_context=context
        ) as connection:
            # A mechanism that nobody has: the answer is a refusal with the list, or that no SASL is wanted here.
            answer = await connection.send(SaslHandShakeRequest("NONE-OF-THESE"))
            return list(answer.enabled_mechanisms)
    except _FAILURES:
        return None


def _unchecked() -> ssl.SSLContext:
    """Return a context that takes any certificate: only to learn what is spoken, nothing of ours is told over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def _connection(host: str, port: int, **options: Any) -> AsyncIterator[AIOKafkaConnection]:
    # aiokafka bounds each step by itself, but not a TLS handshake that nobody answers.
    async with asyncio.timeout(_PATIENCE_MS / 1000):
        connection = await create_conn(host, port, client_id="oscar-events", request_timeout_ms=_PATIENCE_MS, **options)
    try:
        yield connection
    finally:
        closed = connection.close()
        if closed is not None:
            await asyncio.wait([closed], timeout=_PATIENCE_MS / 1000)
