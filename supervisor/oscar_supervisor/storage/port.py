"""A storage as the supervisor sees it: one object in, several objects out.

In:  objects named by bucket and key. Out: local files, and objects that are either not there or whole.
Not here: which files become which objects (outputs.py), any technology (one module beside this).
Docstrings of the contract live here only; the contract suite is tests/contracts/storage.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from oscar_events.errors import OscarEventsError, UnavailableError
from oscar_events.job import InputObject

# Called between pieces of a long copy; raises to end it (interruption.py).
Checkpoint = Callable[[], object]


class InputUnusableError(OscarEventsError):
    """The input is gone or is another version now: this attempt can never be done. The message is one sentence."""


class StorageUnavailableError(UnavailableError):
    """The storage could not be asked, or refused for a reason that time or its owner mends. One sentence."""


class BucketMissingError(StorageUnavailableError):
    """The store answers, and has no bucket of that name. One sentence."""


class StorageFullError(StorageUnavailableError):
    """The storage or a quota in it has no room left. One sentence."""


class Storage(ABC):
    """One provider for one attempt. A context manager; leaving it drops what was not published."""

    @abstractmethod
    def fetch(self, source: InputObject, target: bytes, checkpoint: Checkpoint) -> None:
        """Copy exactly the version the event spoke of to the new file target.

        Raises InputUnusableError, StorageUnavailableError, OSError, EventError if no such key can exist here.
        """

    @abstractmethod
    def put(self, file: int, bucket: str, key: bytes, checkpoint: Checkpoint) -> int:
        """Copy an open file to an object and return its size; durable on return, never visible half-written.

        The checkpoint is last called right before the object becomes visible: after its last byte was read, where
        what remains is a request. An object with this key is replaced.
        Raises StorageUnavailableError, OSError, EventError if no such key can exist here.
        """

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


# (settings of the provider, execution id, hops that its results carry) -> its adapter
StorageFactory = Callable[[dict[str, str], str, int], Storage]
