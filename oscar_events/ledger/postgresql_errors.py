"""What went wrong with PostgreSQL, in our words.

In:  an error of the driver, or of SQLAlchemy around it. Out: LedgerError, ConfigurationError with the remedy, or the
verdict that the unit of work has to be run again.
Not here: running units (postgresql.py), what is asked of a database before it is used (postgresql_state.py).

Judged by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), never by the text, which is in the
server's language.
"""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError

from oscar_events.errors import ConfigurationError, LedgerError, OscarEventsError

# Nothing was committed, and the same unit a moment later meets another situation: serialization failure, deadlock, and
# a prepared statement whose result a migration beside us has changed.
_REPEATED = frozenset({"40001", "40P01"})
_OUTDATED_PLAN = "0A000"
# Classes: connection, resources (disk, memory, connections), operator (shutdown, start-up, cancelled), system (I/O).
_PASSING_CLASSES = frozenset({"08", "53", "57", "58"})
# A lock not had in time, a server that became a standby, a transaction ended for idling.
READ_ONLY = "25006"
_PASSING = frozenset({"55P03", READ_ONLY, "25P03", "25P04"})
# RFC 3986, 3.2.
_ENDS_AUTHORITY = re.compile("[/?#]")


class NotConnectedError(Exception):
    """No connection could be had; its cause says why. Inside this package only."""


def sqlstate(error: BaseException) -> str:
    """Return the five characters the server gave for an error, empty if it gave none."""
    original = getattr(error, "orig", None)  # SQLAlchemy's error holds the dialect's, and that one the driver's
    for one in (error, original, getattr(original, "__cause__", None)):
        code = getattr(one, "sqlstate", None)
        if isinstance(code, str):
            return code
    return ""


def is_repeated(error: Exception) -> bool:
    """Tell whether the unit was certainly not committed, and is to be run again at once."""
    return sqlstate(error) in _REPEATED or sqlstate(error) == _OUTDATED_PLAN


def passing(error: Exception) -> bool:
    """Tell whether the error is the database's or the network's, and not the unit's own."""
    if isinstance(error, NotConnectedError | ConnectionError | TimeoutError | NoConnectionFreeError):
        return True
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError) and isinstance(error.orig, OSError)
    code = sqlstate(error)
    return error.connection_invalidated or code in _PASSING | _REPEATED or code[:2] in _PASSING_CLASSES


def ledger_error(where: str, error: BaseException) -> LedgerError:
    """Return what callers get who may try again. where: the database as people know it, without its password."""
    return LedgerError(f"{where}: {cause(error)}")


def cause(error: BaseException) -> str:
    """Return what the server or the network said, one line."""
    if isinstance(error, NotConnectedError) and error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "orig", None) or error
    if isinstance(said, TimeoutError) and not str(said):
        return "it does not answer: the server hangs, or what is sent there gets lost"
    return " ".join(str(said).split()).removeprefix("<class 'asyncpg.exceptions.").replace("'>:", ":") or repr(error)


def place(url: str) -> str:
    """Return `host:port/database as user` of a URL: what messages may show."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
    except ValueError:
        return "the ledger's database"
    return f"{host}{parts.path}" + (f" as {parts.username}" if parts.username else "")


def with_whole_password(url: str) -> str:
    """Return the URL. Raises ConfigurationError if its password is cut off by characters that mean something in URLs:
    what follows would be taken for a host or a database, and shown as one."""
    rest = url.partition("://")[2]
    if "@" in rest.partition("=")[0] and "@" not in _ENDS_AUTHORITY.split(rest, 1)[0]:
        raise ConfigurationError(
            "ledger.url: user or password hold characters that end them in a URL; write / as %2F, ? as %3F, # as %23, "
            "@ as %40 and % as %25"
        )
    return url


def opening_error(where: str, error: Exception) -> OscarEventsError | None:
    """Return why a database cannot be opened: to be mended by somebody (ConfigurationError), or by time (LedgerError).

    None if it is neither: a defect.
    """
    if isinstance(error, NotConnectedError):
        assert isinstance(error.__cause__, Exception)
        error = error.__cause__
    told, code = cause(error), sqlstate(error)
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return ConfigurationError(f"{where}: there is no such host; correct the host in ledger.url ({told})")
    if isinstance(error, ssl.SSLError):
        return ConfigurationError(
            f"{where}: its certificate is not trusted: {told}; name the file of its authority with "
            "sslrootcert=FILE in ledger.url"
        )
    if isinstance(error, ConnectionError) and "SSL" in told:  # the driver's own, it has no other mark
        return ConfigurationError(f"{where}: {told}; turn TLS on at the server, or use sslmode=prefer in ledger.url")
    if isinstance(error, FileNotFoundError | PermissionError):
        return ConfigurationError(
            f"{where}: {told}: a file that ledger.url names (sslrootcert, sslcert, sslkey, or a socket's directory)"
        )
    if code in ("28P01", "28000"):
        return ConfigurationError(f"{where}: {told}; correct user and password in ledger.url, or pg_hba.conf there")
    if code == "3D000":
        return ConfigurationError(f"{where}: {told}; create it: CREATE DATABASE <name> ENCODING 'UTF8'")
    if code == "42501":
        return ConfigurationError(f"{where}: {told}; GRANT this user the right, or name another one in ledger.url")
    if code == "42704":
        return ConfigurationError(f"{where}: {told}; remove that parameter from ledger.url")
    if isinstance(error, OSError):
        return LedgerError(f"{where}: cannot be reached: {told}; start the database, or correct ledger.url")
    if code[:2] in _PASSING_CLASSES:
        return LedgerError(f"{where}: cannot be reached: {told}")
    if code or not isinstance(error, DBAPIError | ValueError):
        return None
    return ConfigurationError(f"{where}: {told}; a URL looks like postgresql://user:password@host:5432/database")
