"""The targets of MinIO's notifications: which the server has to be started with, once, for `buckets watch` to name.

In:  where this platform's sources are reached, the file with their token, a directory of MinIO's own. Out: the
variables, as a shell reads them; the ARNs that go with them.
Not here: which bucket is told to whom (watching.py), the sources (config_file.py).

Measured on the real server: a target without queue tells within a millisecond, once, and what nobody takes is lost; one
with a queue loses nothing while its receiver is away, and takes 1.4 s (p50), as the queue is looked at every 3 s. So
there are both, and as both tell the same event by the same id, the second is nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from oscar_events.errors import NotFoundError

FAST, DURABLE = "OSCAR_FAST", "OSCAR_DURABLE"


@dataclass(frozen=True, slots=True)
class Receiver:
    """A source over HTTP as MinIO reaches it. token_file: on MinIO's machine, with the token alone in it."""

    url: str
    token_file: str


def target_arns(known: Sequence[str] | None) -> list[str]:
    """Return the ARNs of both targets, as far as the server knows them. known: None if it does not say.

    Raises NotFoundError if it knows neither.
    """
    if known is None:
        return [f"arn:minio:sqs::{name}:webhook" for name in (FAST, DURABLE)]
    ours = [arn for arn in known if arn.split(":")[4:5] and arn.split(":")[4] in (FAST, DURABLE)]
    if not ours:
        others = f"it knows {', '.join(known)}: name one with --target" if known else "it knows no target at all"
        raise NotFoundError(
            f"the server has no target {FAST} or {DURABLE} ({others}); start it with the variables that "
            "`oscar-events buckets watch --print-config` prints"
        )
    return ours


def server_variables(fast: Receiver, durable: Receiver, queue_directory: str) -> str:
    """Return what the shell that starts MinIO has to read. queue_directory: on MinIO's machine, on a durable disk."""
    lines = [
        "# The environment of MinIO for oscar-events. The shell that starts the server reads it, and the token:",
        "#   set -a; . ./THIS_FILE; set +a; exec minio server ...",
        "# fast: tells within a millisecond, and once.",
        *_webhook(FAST, fast),
        "# durable: tells again until it is answered, seconds later; the copy of what the fast one told is nothing.",
        *_webhook(DURABLE, durable),
        _assigned(f"MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_{DURABLE}", shlex.quote(queue_directory)),
        "# on: each upload would wait for both.",
        _assigned("MINIO_API_SYNC_EVENTS", "off"),
    ]
    return "\n".join(lines) + "\n"


def _webhook(name: str, receiver: Receiver) -> list[str]:
    prefix = "MINIO_NOTIFY_WEBHOOK"
    return [
        _assigned(f"{prefix}_ENABLE_{name}", "on"),
        _assigned(f"{prefix}_ENDPOINT_{name}", shlex.quote(receiver.url)),
        # MinIO reads no tokens from files by itself.
        _assigned(f"{prefix}_AUTH_TOKEN_{name}", f'"$(cat {shlex.quote(receiver.token_file)})"'),
    ]


def _assigned(name: str, value: str) -> str:
    return f"{name}={value}"
