"""What is no event, sent where events are expected: to the webhook, and straight to the topic.

In:  the ingests, the broker. Out: bodies that were taken, by their SHA-256: all of them must be in quarantine.
Not here: looking there (evidence.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
from collections.abc import Callable, Sequence
from random import Random

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.acceptance.platform import until

# Each with what makes it unlike all others put where %s is.
_BODIES = (
    "no JSON %s",
    '{"truncated": "%s',
    '{"of nobody": "%s"}',
    '{"EventName": "s3:ObjectCreated:Put", "Key": "chaos/in/%s", "Records": [{"s3": 7}]}',
    '{"Records": "%s"}',
)
_RECORDS = (
    "no JSON %s",
    '{"specversion": "1.0", "id": "%s"}',
    '{"specversion": "1.0", "id": "%s", "source": "s", "type": "t", "time": "2026-11-21T12:00:00Z", '
    '"recordedtime": "2026-11-21T12:00:00Z", "data": {"schema": 99, "action": "created"}}',
)


class Poison:
    """Sends it. taken: SHA-256 of every body that somebody acknowledged."""

    def __init__(self, ingests: Sequence[int], token: str, bootstrap: str, topic: str, seed: int) -> None:
        self._ingests, self._token, self._bootstrap, self._topic = ingests, token, bootstrap, topic
        self._random = Random(seed)
        self.taken: set[str] = set()

    def send(self) -> None:
        """Send one more, to the webhook or to the topic."""
        self._random.choice((self.send_to_webhook, self.send_to_topic))()

    def send_to_webhook(self) -> None:
        self._send(self._post, _BODIES)

    def send_to_topic(self) -> None:
        self._send(self._produce, _RECORDS)

    def _send(self, to: Callable[[bytes], bool], bodies: Sequence[str]) -> None:
        """Send one of these until it is taken."""
        body = (self._random.choice(bodies) % f"{self._random.getrandbits(64):016x}").encode()
        until(_tried(to, body), "the poison is taken")
        self.taken.add(hashlib.sha256(body).hexdigest())

    def _post(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._random.choice(self._ingests), timeout=15)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/ingest/minio", body, {"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            return response.status == 202 and json.loads(response.read())["quarantined"] == 1
        return False

    def _produce(self, body: bytes) -> bool:
        async def produced() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", request_timeout_ms=5000)
            try:
                await producer.start()
                await producer.send_and_wait(self._topic, body)
            finally:
                await producer.stop()

        with contextlib.suppress(KafkaError):
            asyncio.run(produced())
            return True
        return False


def _tried(send: Callable[[bytes], bool], body: bytes) -> Callable[[], bool]:
    return lambda: send(body)
