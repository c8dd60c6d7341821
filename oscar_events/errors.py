"""The errors every component shares, and what each one asks for: try again, or give up.

In:  nothing. Out: the tree below; a component adds its own leaves beside its code.
Not here: how often to try again (retry.py), what a failed *attempt* means (execution.py).

OscarEventsError
├── ConfigurationError           a setting, a file or a directory is wrong; exit code 2
│   └── ServiceError             a service file is wrong; carries where, what, and the fix
├── EventError                   the event is at fault: quarantine, never retried
├── NotFoundError                the named service, run or bucket does not exist; exit code 3
├── ConflictError                the request contradicts what is there (a terminal run, a taken name); exit code 4
│   └── MoveRefusedError         an execution may not go from that state to this one
├── UnavailableError             somebody else is away or busy: try again; exit code 5
│   ├── BusError                 the log of events did not acknowledge
│   ├── LedgerError              the database did not commit
│   └── InUseError               another process holds the data directory
└── FencedError                  this process no longer holds what it is writing under (partition, role, lease)
"""

from __future__ import annotations


class OscarEventsError(Exception):
    """Root of everything this platform raises on purpose."""


class ConfigurationError(OscarEventsError):
    """A setting, a file or a directory is wrong. The message names it, and the accepted form."""


class ServiceError(ConfigurationError):
    """A service definition is wrong.

    where: the field as written in the file, e.g. `functions.oscar[0].laptop.input[0].path`.
    what:  what was found there. fix: what would be right.
    """

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(f"{where}: {what}; {fix}")
        self.where, self.what, self.fix = where, what, fix


class EventError(OscarEventsError):
    """The bytes came in authenticated but are no usable event: quarantine. The message is the reason kept with them."""


class NotFoundError(OscarEventsError):
    """The named service, run or bucket does not exist."""


class ConflictError(OscarEventsError):
    """The request contradicts what is there."""


class MoveRefusedError(ConflictError):
    """An execution may not go from that state to this one (design §7)."""


class UnavailableError(OscarEventsError):
    """Somebody else is away or busy; the same call may succeed later, without anybody changing anything."""


class BusError(UnavailableError):
    """The bus did not acknowledge; the record may or may not be there."""


class LedgerError(UnavailableError):
    """The ledger did not commit; nothing of the unit of work is there."""


class InUseError(UnavailableError):
    """Another process holds the data directory or file."""


class FencedError(OscarEventsError):
    """What this process is writing under (partition, role, lease, token) belongs to somebody else now."""
