"""The errors every component shares, and what each one asks for: try again, or give up.

In:  nothing. Out: the tree below; a component adds its own leaves beside its code.
Not here: how often to try again (retry.py), what a failed *attempt* means (execution.py).

OscarEventsError
├── ConfigurationError           a setting, a file or a directory is wrong; exit code 2
│   └── DocumentError            a file of ours is wrong; carries where, what, what would be right, and a report
│       └── ServiceError         a service file or definition is
├── EventError                   the event is at fault: quarantine, never retried
├── NotFoundError                the named service, run or bucket does not exist; exit code 3
├── ConflictError                the request contradicts what is there (a terminal run, a taken name); exit code 4
│   └── MoveRefusedError         an execution may not go from that state to this one
├── UnavailableError             somebody else is away or busy: try again; exit code 5
│   ├── BusError                 the log of events did not acknowledge
│   ├── LedgerError              the database did not commit, or did not say so
│   ├── InUseError               another process holds the data directory
│   └── NotYetError              it will be there once something has ended
└── FencedError                  this process no longer holds what it is writing under (partition, role, lease)
"""

from __future__ import annotations


class OscarEventsError(Exception):
    """Root of everything this platform raises on purpose."""


class ConfigurationError(OscarEventsError):
    """A setting, a file or a directory is wrong. The message names it, and the accepted form."""


class DocumentError(ConfigurationError):
    """A file that people write is wrong.

    where: file, line and field of the first mistake, e.g. `blur.yaml, line 9: functions.oscar[0].laptop.memory`.
    what:  what was found there. fix: what would be right.
    report: every mistake, on several lines, with the change that mends it; empty where there is no file to change.
    """

    def __init__(self, where: str, what: str, fix: str, report: str = "") -> None:
        super().__init__(f"{where}: {what}; {fix}")
        self.where, self.what, self.fix, self.report = where, what, fix, report


class ServiceError(DocumentError):
    """A service definition is wrong."""


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
    """The ledger did not commit, or did not say so; the unit of work may be run again."""


class InUseError(UnavailableError):
    """Another process holds the data directory or file."""


class NotYetError(UnavailableError):
    """What is asked for will be there once something that runs has ended. The message says what."""


class FencedError(OscarEventsError):
    """What this process is writing under (partition, role, lease, token) belongs to somebody else now."""
