"""The variables a user's script finds: OSCAR's own, under OSCAR's names, and the service's.

In:  the job, the paths of its files, what the platform passes on. Out: the whole environment as bytes. Pure.
Not here: what the platform passes on (oscar_events/environment.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from oscar_events.environment import passed_on
from oscar_events.errors import ConfigurationError
from oscar_events.holder import EXECUTION_VARIABLE
from oscar_events.job import Job
from oscar_events.paths import printable

# The kernel refuses a single string of 128 KiB (MAX_ARG_STRLEN); 96 leaves room for scripts that prepend to it.
MAX_EVENT_BYTES = 96 * 1024
# Kubernetes names of Jobs hold 63 characters; the service's share of them is 24 on every backend (design §3.6).
_SERVICE_CHARACTERS = 24
# What the CloudEvents types of storage events begin with (oscar_events/codec.py); their subject is the encoded key.
_ABOUT_AN_OBJECT = "oscar.storage.object."


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of one attempt are. input: None if the event came without an object."""

    input: bytes | None
    input_directory: Path
    output_directory: Path
    event: Path


def script_environment(job: Job, places: Places, platform: Mapping[str, str], node: str) -> dict[bytes, bytes]:
    """Return everything the script sees.

    The service's variables win over the platform's and OSCAR's, but for those that say where the files are and which
    execution this is. Raises ConfigurationError naming a variable that no process can be given.
    """
    variables: dict[str, str | bytes] = {
        **passed_on(platform),
        **{f"CE_{name.upper()}": value for name, value in job.event_attributes.items()},
        "EVENT_TIME": job.event_time,
        "JOB_UUID": f"{job.service[:_SERVICE_CHARACTERS]}-{job.execution}-{job.attempt}",
        "RESOURCE_ID": node,
        "OSCAR_SERVICE_NAME": job.service,
        "OSCAR_SERVICE_BASE_PATH": "",  # a service that is not exposed has none
    }
    if _fits(job.event):
        variables["EVENT"] = job.event
    if (key := _key(job)) is not None:
        variables["STORAGE_OBJECT_KEY"] = key
    variables |= job.environment
    variables |= {
        "TMP_INPUT_DIR": os.fspath(places.input_directory),
        "TMP_OUTPUT_DIR": os.fspath(places.output_directory),
        "EVENT_FILE": os.fspath(places.event),
        EXECUTION_VARIABLE: job.execution,
        "OSCAR_EVENTS_ATTEMPT": str(job.attempt),
    }
    variables.pop("INPUT_FILE_PATH", None)
    if places.input is not None:
        variables["INPUT_FILE_PATH"] = places.input
    return dict(_variable(name, value) for name, value in variables.items())


def speaks_of_object(job: Job) -> bool:
    """Return whether the job's event is of an object of a storage, staged in or not; else it is a message."""
    return job.input is not None or job.event_attributes.get("type", "").startswith(_ABOUT_AN_OBJECT)


def _key(job: Job) -> bytes | None:
    """Return the key of the object, also of one that was removed or that the script fetches itself."""
    if job.input is not None:
        return job.input.key
    return unquote_to_bytes(job.event_attributes.get("subject", "")) if speaks_of_object(job) else None


def _fits(event: bytes) -> bool:
    if len(event) >= MAX_EVENT_BYTES or b"\0" in event:
        return False
    try:
        event.decode()
    except UnicodeDecodeError:
        return False
    return True


def _variable(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    encoded = os.fsencode(name), value if isinstance(value, bytes) else os.fsencode(value)
    if not name or "=" in name or b"\0" in encoded[0] + encoded[1]:
        raise ConfigurationError(f"no process can have the variable '{printable(encoded[0])}': a NUL byte, or its name")
    return encoded
