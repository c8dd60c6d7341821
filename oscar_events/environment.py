"""Which variables of the platform's own environment go on to workers and to users' scripts.

In:  an environment. Out: the part of it that says where and in which language the machine is, and whom it trusts.
Not here: the variables a script gets besides (oscar_supervisor/environment.py).
"""

from __future__ import annotations

from collections.abc import Mapping

# An allow-list: the platform's environment holds tokens and passwords under names nobody can foresee (design §8.9).
_NAMES = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR"})
_PREFIX = "LC_"
# Whose certificates a storage may have: files and directories that OpenSSL and rustls look into, no secrets. Workers
# ask storages; a script that does brings its own image or says so among its service's variables.
_AUTHORITIES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of this environment a script may see."""
    return {name: value for name, value in environment.items() if name in _NAMES or name.startswith(_PREFIX)}


def passed_on_to_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of this environment a worker may see: what its scripts may, and which authorities are trusted."""
    authorities = {name: value for name, value in environment.items() if name in _AUTHORITIES}
    return passed_on(environment) | authorities
