"""What failed, and who has to do something about it: every failure class is decided here.

In:  how a script ended, or the error that ended an attempt. Out: a class, and one sentence for a person.
Not here: when to try again (the dispatcher).
"""

from __future__ import annotations

import errno
import signal

from oscar_events.errors import ConfigurationError, EventError, OscarEventsError
from oscar_events.job import FailureClass
from oscar_supervisor.interruption import CancelRequestedError
from oscar_supervisor.outputs import OutputRefusedError
from oscar_supervisor.runner import EndedBy, ScriptEnd
from oscar_supervisor.storage.port import InputUnusableError, StorageFullError, StorageUnavailableError

# Names that a storage cannot have: a file where a folder is needed or the reverse, a link, too long. And E2BIG:
# variables that no process can be given.
_PERMANENT_ERRNOS = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.E2BIG})
# The disk or the quota is full: the same again would end the same until somebody makes room.
_RESOURCE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class ScriptFailedError(OscarEventsError):
    """The script ran and did not succeed. The message is one sentence for a person."""

    def __init__(self, failure: FailureClass, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


def check_script(end: ScriptEnd, timeout_s: float) -> None:
    """Return if the script succeeded. Raises ScriptFailedError, CancelRequestedError."""
    if end.by is EndedBy.CANCEL:
        raise CancelRequestedError
    if end.by is EndedBy.TIMEOUT:
        raise ScriptFailedError(FailureClass.RESOURCE, f"the script did not end within {timeout_s:g} s")
    if end.signal == signal.SIGKILL:
        reason = "the script was killed from outside of the platform, most likely for its memory"
        raise ScriptFailedError(FailureClass.RESOURCE, reason)
    if end.signal is not None:
        raise ScriptFailedError(FailureClass.USER, f"the script was ended by signal {end.signal}")
    if end.exit_code:
        raise ScriptFailedError(FailureClass.USER, f"the script ended with exit code {end.exit_code}")


def class_of(error: Exception) -> FailureClass:
    """Return the class of an attempt that ended with this error; what is not known here is nobody's fault."""
    match error:
        case ScriptFailedError():
            return error.failure
        case OutputRefusedError():
            return FailureClass.USER
        case InputUnusableError() | EventError() | ConfigurationError():
            return FailureClass.PERMANENT
        case StorageFullError():
            return FailureClass.RESOURCE
        # A wrong password, a missing right, bucket or certificate too, not only an outage: somebody mends it where the
        # storage is, and with everything tried again until max_age nobody has to send each run again afterwards.
        case StorageUnavailableError():
            return FailureClass.INFRASTRUCTURE
        case OSError() if error.errno in _PERMANENT_ERRNOS:
            return FailureClass.PERMANENT
        case OSError() if error.errno in _RESOURCE_ERRNOS:
            return FailureClass.RESOURCE
        case _:
            return FailureClass.INFRASTRUCTURE


def sentence(error: Exception) -> str:
    """Return the error for a person; of an error that is not ours also its kind, as its text alone may say little."""
    return str(error) if isinstance(error, OscarEventsError) else f"{type(error).__name__}: {error}"
