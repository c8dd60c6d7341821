"""Certificates for servers on the loopback address, of an authority made for the occasion.

In:  a directory; openssl. Out: the authority's certificate, the server's certificate and its key, as PEM files.
Not here: who uses them; TLS.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.builds import debian_packages

# RFC 5280's rules for authorities and servers, which Python 3.13 insists on.
_AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
_SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n"
_DAYS = "2"  # longer than any test run


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where they are. key: of the server's certificate, without a password."""

    ca: Path
    certificate: Path
    key: Path


def need_openssl() -> None:
    """Raise CannotBuildError if there is none and it cannot be installed."""
    if shutil.which("openssl") is None:
        debian_packages("certificates are made by openssl", "openssl")


def make_certificates(directory: Path) -> Certificates:
    """Make an authority and a certificate of it for 127.0.0.1 and localhost."""
    directory.mkdir(parents=True, exist_ok=True)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    usage = [word for extension in _AUTHORITY for word in ("-addext", extension)]
    _openssl(
        directory,
        *("req", "-x509", *new_key, "-days", _DAYS, "-subj", "/CN=the testbed", *usage),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    _openssl(directory, "req", *new_key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "request.pem")
    (directory / "extensions").write_text(_SERVER)
    _openssl(
        directory,
        *("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", _DAYS, "-extfile", "extensions", "-out", "server.pem"),
    )
    return Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
