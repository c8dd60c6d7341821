"""What is uploaded, known by a seed, and the sender's own journal of what became of each upload.

In:  a seed, a store, how many and how fast. Out: objects in the store, and for each whether it is there: yes, no, or
nobody knows.
Not here: judging what the platform made of them (checker.py).
"""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from random import Random

from tests.testbed.s3_client import S3Client, S3Error

BUCKET = "chaos"
# The script fails for these, so they end as dead letters.
FAILING = ".fails"
_FAILING_SHARE = 0.005
_LARGEST = 20_000
# As many as keep the rate while each takes its time.
_SENDERS = 4


class Upload(StrEnum):
    """What its sender knows of an upload."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"  # nobody took the connection: it is certainly not there
    UNKNOWN = "unknown"  # cut off on the way, or an error that says nothing


def content_of(seed: int, name: str) -> bytes:
    """Return the content of an object, computed anew by whoever wants to compare."""
    random = Random(f"{seed} {name}")
    return random.randbytes(random.randint(1, _LARGEST))


def name_of(seed: int, number: int) -> str:
    """Return `bucket/key` of an upload. Every two-hundredth on average makes its script fail."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    fails = int.from_bytes(digest[:8], "big") < _FAILING_SHARE * 2**64
    return f"{BUCKET}/in/{number:06}{FAILING if fails else ''}"


class Sender:
    """Uploads until so many were acknowledged. journal: `bucket/key` -> what the sender knows."""

    def __init__(self, client: Callable[[], S3Client], seed: int, uploads: int, per_second: float) -> None:
        self._client, self._seed, self._uploads, self._pace = client, seed, uploads, per_second / _SENDERS
        self.journal: dict[str, Upload] = {}
        self.cancelled = threading.Event()
        self._numbers = iter(range(10 * uploads))
        self._lock = threading.Lock()

    @property
    def acknowledged(self) -> int:
        return list(self.journal.values()).count(Upload.ACKNOWLEDGED)

    def run(self) -> None:
        """Upload, until enough were acknowledged or somebody cancels."""
        with ThreadPoolExecutor(_SENDERS) as senders:
            for done in [senders.submit(self._send_many, Random(f"{self._seed} {one}")) for one in range(_SENDERS)]:
                done.result()

    def _send_many(self, random: Random) -> None:
        at = time.monotonic()
        while self.acknowledged < self._uploads and not self.cancelled.is_set():
            with self._lock:
                name = name_of(self._seed, next(self._numbers))
                self.journal[name] = Upload.UNKNOWN
            self.journal[name] = self._send(name)
            at = max(at + random.expovariate(self._pace), time.monotonic() - 1)  # what an outage cost is not caught up
            self.cancelled.wait(at - time.monotonic())

    def _send(self, name: str) -> Upload:
        bucket, _, key = name.partition("/")
        try:
            self._client().put(bucket, key.encode(), content_of(self._seed, name))
        except ConnectionRefusedError:
            return Upload.REFUSED
        except (OSError, http.client.HTTPException, S3Error):
            return Upload.UNKNOWN
        return Upload.ACKNOWLEDGED
