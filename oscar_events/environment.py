"""Which variables of the platform's own environment go on to workers and to users' scripts.

In:  an environment. Out: the part of it that says where and in which language the machine is, and nothing else.
Not here: the variables a script gets besides (oscar_supervisor/environment.py).
"""

from __future__ import annotations

from collections.abc import Mapping

# An allow-list: the platform's environment holds tokens and passwords under names nobody can foresee (design §8.9).
_NAMES = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR"})
_PREFIX = "LC_"


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of this environment other processes may see."""
    return {name: value for name, value in environment.items() if name in _NAMES or name.startswith(_PREFIX)}
