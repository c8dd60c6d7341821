"""`make servers`: a broker, a database and a store on this machine, for whoever wants to try a cluster by hand.

In:  a directory that does not exist yet. Out: servers until Ctrl-C; in the directory a config.yaml that names them.
Not here: the platform; the README says how to start it on that directory.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.testbed.builds import CannotBuildError
from tests.testbed.kafka import RUNS_FAST, running_kafka
from tests.testbed.minio import announcing, running_minio
from tests.testbed.postgres import running_postgres

_LISTEN = "127.0.0.1:8080"
# The names that `oscar-events buckets watch` looks for.
_FAST, _DURABLE = "OSCAR_FAST", "OSCAR_DURABLE"


def main(directory: Path) -> int:
    """Run the servers until a signal; return the exit code."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        print(f"{directory} is there already: name another directory, or remove it", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ExitStack() as stack:
            file = _start(directory, stack)
            print(f"Kafka, PostgreSQL and MinIO run until Ctrl-C; {file} names them, and the user of MinIO", flush=True)
            stop.wait()
    except CannotBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _start(directory: Path, stack: ExitStack) -> Path:
    token, state = secrets.token_hex(16), directory / "servers"
    url, header = f"http://{_LISTEN}/ingest/minio", f"Bearer {token}"
    queue = state / "minio-queue"
    told = announcing(url, header, name=_FAST) | announcing(url, header, queue, name=_DURABLE)
    print("starting; what this machine does not have is fetched or built first, MinIO takes 6 minutes", flush=True)
    minio = stack.enter_context(running_minio(state / "minio", told))
    kafka = stack.enter_context(running_kafka(state / "kafka", jvm=RUNS_FAST))
    postgres = stack.enter_context(running_postgres(state / "postgres", fsync=True))
    settings = minio.settings
    kind = settings.pop("type")
    document = {
        "kafka": {"bootstrap_servers": kafka.bootstrap, "topics": {"durability": "single"}},
        "ledger": {"url": postgres.new_database()},
        "ingest": {"listen": _LISTEN},
        "sources": {"minio": {"provider": "minio.default", "tokens": [token]}},
        "storage_providers": {kind: {"default": settings}},
    }
    file = directory / "config.yaml"
    file.touch(mode=0o600)
    file.write_text(json.dumps(document, indent=2) + "\n")
    return file


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
