"""Whether a database failed because of the very values it was given.

In:  an error that a unit of work raised. Out: yes, if the same unit can never succeed with these values; and why.
Not here: what becomes of the record they came from (oscar_dispatcher/intake.py).
"""

from __future__ import annotations

# SQL's classes of states: 22 data exception (a NUL in a text, a number out of range), 54 program limit exceeded (a key
# too long for its index). What is wrong with tables, rights or the platform itself has other classes.
_OF_THE_VALUES = ("22", "54")


def refuses_values(error: BaseException) -> bool:
    """Return whether the values are at fault, and neither the database nor the platform.

    SQLite's driver refuses numbers beyond 64 bits and lone surrogates by errors of Python's own.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (OverflowError, UnicodeError)):
            return True
        state = getattr(seen, "sqlstate", None)
        if isinstance(state, str) and state[:2] in _OF_THE_VALUES:
            return True
        seen = getattr(seen, "orig", None) or seen.__cause__
    return False


def what_was_said(error: BaseException) -> str:
    """Return the database's own words, in one line: without the statement, and the values of it."""
    return " ".join(str(getattr(error, "orig", None) or error).splitlines()[:1])
